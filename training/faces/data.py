"""Data of a training run of the face networks: settings, pools, held-out groups and folds."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.errors import DatasetError, InputError
from training import folds, manifest
from training.faces import found_faces, index, labelled_images
from training.faces.batches import Batches, Mix, Sources
from training.faces.pools import Pool
from training.progress import Progress, no_progress

HOLDOUT_SEED = 0  # one choice for all runs: a run that starts from another must not train on what that one held out
POOLS_SEED = 0  # so that runs with different seeds share the pools, which take an hour to make
PARTS = "generated.parts"  # folder, in the cache, of the generated faces of an unfinished run


@dataclass(frozen=True)
class FaceTraining:
    """Data, folder and settings of a training run.

    Raises
    ------
    InputError
        ``leave_out`` is unknown, or ``device`` is ``"cuda"`` and there is none.
    """

    stills: Path
    """Folder of Parquet files of labelled stills: :func:`training.faces.labelled_images.stills`."""
    faces: Path
    """Parquet file of real faces: :func:`training.faces.found_faces.faces_rows`."""
    clips: Path
    """Manifest of labelled clips: :func:`training.manifest.training_clips`."""
    out: Path
    """Folder for weights, logs, checkpoints and cached faces."""
    crops: Path | None = None
    """Folder of labelled face crops of clips and single images: :func:`training.faces.labelled_images.crops`."""
    leave_out: str = "methods"
    """What no two folds may share: ``"people"``, or ``"methods"`` (methods and people)."""
    hold_out: tuple[int, int] | None = None
    """(K, N): hold out the K-th of N folds of the stills' identities, counted from 1; None: hold out a few."""
    start: Path | None = None
    """Weights that the first phase starts from; None: those of ImageNet."""
    seed: int = 0
    """Random seed. Held-out people, folds, copies and generated faces do not depend on it."""
    device: str = "cpu"
    workers: int = 0
    """Number of processes that make batches and generate faces; results do not depend on it."""
    resume: bool = False
    """Resume from the checkpoints in ``out``, and skip phases whose weights are there."""

    def __post_init__(self) -> None:
        folds.check_leave_out(self.leave_out)
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise InputError("device is 'cuda', but torch finds no GPU that it can use; give 'cpu'")


class FaceData:
    """Pools, held-out groups and folds; faces of clips and generated faces are made when a phase first needs them.

    Parameters
    ----------
    settings
        Files and options.
    progress
        Called with the name of a pool that is being made, the number of items done, and their total.

    Attributes
    ----------
    stills, faces : Pool
    holdout_groups : frozenset of str
        Groups of stills that no phase is trained on.
    fold_of : dict
        Name of each clip and image to its fold.

    Raises
    ------
    InputError
        A file is missing, or lacks columns or labels that training needs.
    """

    def __init__(self, settings: FaceTraining, progress: Progress = no_progress) -> None:
        self._settings, self._progress = settings, progress
        self._clips = manifest.training_clips(settings.clips)
        self._crops = labelled_images.crops(settings.crops) if settings.crops is not None else None
        self._labelled = [
            *self._clips,
            *(labelled_images.clips_of_crops(self._crops) if self._crops is not None else ()),
        ]
        self._check_names()
        self.fold_of = folds.assign_folds(self._labelled, whole_methods=settings.leave_out == "methods")
        self._stills = labelled_images.stills(settings.stills)
        self.stills = Pool(self._stills)
        self.holdout_groups = (
            folds.groups_of_fold(self.stills.group, *settings.hold_out)
            if settings.hold_out
            else folds.holdout_groups(self.stills.group, HOLDOUT_SEED)
        )
        self._faces_identity = found_faces.faces_identity(settings.faces)
        self._faces = self._cached("faces", found_faces.faces_rows(settings.faces, progress), self._faces_identity)
        self.faces = Pool(self._faces)

    def _check_names(self) -> None:
        """Refuse a clip of the manifest that has the key of a face crop: the two would share a fold and a label."""
        name, times = Counter(clip.filename for clip in self._labelled).most_common(1)[0]
        if times > 1:
            raise DatasetError(f"{self._settings.crops}: {name!r} is also a clip of {self._settings.clips}; rename one")

    def _cached(self, name: str, rows: Iterator[dict[str, Any]], identity: str) -> pa.Table:
        return index.cached(self._cache(name), rows, identity)

    def _cache(self, name: str) -> Path:
        return self._settings.out / "cache" / f"{name}.parquet"

    @property
    def assignments(self) -> dict[str, folds.FoldAssignment]:
        """Fold and training label of each clip and image; the label tells whether the video is forged."""
        return {
            clip.filename: folds.FoldAssignment(self.fold_of[clip.filename], manifest.forged_video(clip))
            for clip in self._labelled
        }

    @cached_property
    def identity(self) -> str:
        """Digest of the data and settings that a trained network depends on."""
        settings = self._settings
        shared = sorted(self.people_held_out(None, clips=False) & set(self.faces.group))
        return manifest.digest(self._pools_identity, self._crops_identity, settings.leave_out, settings.seed, *shared)

    @cached_property
    def _crops_identity(self) -> str:
        if self._crops is None or self._settings.crops is None:
            return ""
        return labelled_images.crops_identity(self._settings.crops, self._crops)

    @cached_property
    def _pools_identity(self) -> str:
        stills = labelled_images.stills_identity(self._settings.stills, self._stills)
        return manifest.digest(
            stills, self._faces_identity, found_faces.clips_identity(self._clips), sorted(self.holdout_groups)
        )

    @cached_property
    def _clip_frames(self) -> pa.Table:
        rows = found_faces.clips_rows(self._clips, self._progress)
        return self._cached("clips", rows, found_faces.clips_identity(self._clips))

    @cached_property
    def clips(self) -> Pool:
        """Frames of the clips."""
        return Pool(self._clip_frames)

    @cached_property
    def labelled(self) -> Pool:
        """Frames of the clips, and the labelled crops of further clips and images."""
        if self._crops is None:
            return self.clips
        rows = iter(self._crops.to_pylist())
        crops = self._cached("crops", rows, self._crops_identity)
        return Pool(pa.concat_tables([self._clip_frames, crops], promote_options="default"))

    @cached_property
    def real_faces(self) -> Pool:
        """The real faces, and the REAL single images among the labelled crops."""
        if self._crops is None:
            return self.faces
        keys, counts = np.unique(self._crops["key"].to_numpy(zero_copy_only=False), return_counts=True)
        single = pc.is_in(self._crops["key"], pa.array(keys[counts == 1], pa.string()))
        images = self._crops.filter(pc.and_(single, pc.equal(self._crops["fake"], 0)))
        return Pool(pa.concat_tables([self._faces, images], promote_options="default"))

    @cached_property
    def transcoded(self) -> Pool:
        """Frames of the clips after re-encoding."""
        from training.faces import recompressed

        rows = recompressed.rows(self._clips, POOLS_SEED, self._progress)
        return Pool(self._cached("transcoded", rows, recompressed.identity(self._clips, POOLS_SEED)))

    @cached_property
    def generated(self) -> Pool:
        """Faces that were generated or regenerated by published networks, written in parts as they are made."""
        from training.faces import generated

        def keep(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
            yield from self._cached(f"{PARTS}/{name}", rows, self._generated_identity).to_pylist()

        rows = generated.rows(
            self.stills,
            self.faces,
            self.clips,
            holdout=self.holdout_groups,
            seed=POOLS_SEED,
            keep=keep,
            workers=self._settings.workers,
            progress=self._progress,
        )
        pool = Pool(self._cached("generated", rows, self._generated_identity))
        shutil.rmtree(self._settings.out / "cache" / PARTS, ignore_errors=True)
        return pool

    @property
    def _generated_identity(self) -> str:
        from training.faces import generated

        return generated.identity(self._pools_identity, POOLS_SEED)

    def batches(self, mix: Mix, *, left_out: int | None, size: int) -> Batches:
        """Return batches of a mix, without data that the network of the fold ``left_out`` must not see.

        The networks of all folds start from the result of a mix without clips. Therefore such a mix contains no
        labelled crop either, and no face of a person who is a group of clips or crops.
        """
        clips, transcoded = (self.labelled, self.transcoded) if mix.clips else (None, None)
        faces = self.real_faces if mix.clips else self.faces  # phases of folds start from one that saw no labelled crop
        generated = self.generated if mix.generated else None
        sources = Sources(self.stills, faces, clips, transcoded, generated)
        return Batches(
            sources,
            holdout=self.holdout_groups,
            left_out=self.held_out(left_out),
            left_out_people=self.people_held_out(left_out, clips=bool(mix.clips)),
            mix=mix,
            seed=self._settings.seed,
            size=size,
        )

    def held_out(self, fold: int | None) -> frozenset[str]:
        """Return the clips and images that the network of a fold must not see: :func:`training.folds.held_out`."""
        return folds.held_out(self._labelled, self.fold_of, fold)

    def people_held_out(self, fold: int | None, *, clips: bool = True) -> frozenset[str]:
        """Return the groups of real faces that the network of a fold must not see; without ``clips``, those of all."""
        held_out = self.held_out(fold)
        return frozenset(clip.group for clip in self._labelled if not clips or clip.filename in held_out)

    def holdout_rows(self) -> NDArray[np.int64]:
        """Return the rows [k] of the held-out stills."""
        return np.flatnonzero([group in self.holdout_groups for group in self.stills.group])

    def check(self, mix: Mix, *, left_out: int | None) -> None:
        """Check early for errors that would otherwise end a phase of this mix after hours of work.

        Raises
        ------
        DatasetError
            Without the fold ``left_out``, the clips have no real or no forged video.
        ModelError
            Faces must be generated first, and a network that generates them is not installed.
        """
        if mix.clips:
            self._check_classes(left_out)
        if mix.generated and not index.is_cached(self._cache("generated"), self._generated_identity):
            from training.faces import generated

            generated.check_installed()

    def _check_classes(self, left_out: int | None) -> None:
        left = self.held_out(left_out)
        kept = {assignment.fake for name, assignment in self.assignments.items() if name not in left}
        if kept != {False, True}:
            lacking = "no forged face" if True not in kept else "no real face"
            where = "" if left_out is None else f" without fold {left_out}"
            raise DatasetError(
                f"{self._settings.clips}: {lacking} to train on{where}; give clips of more groups and methods, "
                "or only phases that need no clips"
            )

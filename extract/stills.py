"""A feature table of single-frame cues from labelled stills.

Stills are rows of Parquet files with the columns ``video, label, group, jpeg`` (the bytes of a JPEG, PNG or WebP), as
face crops of the challenge are published. Each ``video`` occurs once. A still counts as a motionless clip: the value of
its frame is the column's median, and columns that measure change are 0 or undefined. So a new single-frame cue can be
evaluated on thousands of people in minutes.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from av.error import FFmpegError
from numpy.typing import NDArray

from extract.clip.frame import Frame
from extract.entries import label_of
from extract.run import worker
from features import discovery, measuring, table
from features.errors import DatasetError, InputError, UnreadableError
from features.networks.weights import use_weights
from features.observation import OBSERVATION_VERSION, Observation, Track
from features.reasons import Reason
from features.threads import opencv_on_one_thread

logger = logging.getLogger(__name__)

FAMILIES = ("quality", "spectrum", "blending", "residual", "texture", "eyes_teeth", "face_contrast")
NEEDED = ("video", "label", "group", "jpeg")
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
BATCH = 100  # stills per task
CROP_ALONE = frozenset({"crops", "weights"})  # the needs that a face at an assumed position can meet
HELD_FRAMES, HELD_FPS = 8, 25.0  # the number of frames that a clip's medians need


def _codec(data: bytes) -> str:
    """Return the name of FFmpeg's decoder."""
    if data[8:12] == b"WEBP":
        return "webp"
    return "png" if data[:4] == b"\x89PNG" else "mjpeg"


class Still:
    """One JPEG, PNG or WebP as footage of a single frame.

    Raises
    ------
    UnreadableError
        The bytes are not a JPEG, PNG or WebP.
    """

    frames_expected = 1
    frames_per_second = 0.0

    def __init__(self, data: bytes) -> None:
        decoder = av.CodecContext.create(_codec(data), "r")
        try:
            self._frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][:1]
        except FFmpegError as error:
            raise UnreadableError(f"no JPEG, PNG or WebP: {error.strerror}") from error
        if not self._frames:
            raise UnreadableError("no JPEG, PNG or WebP: no image in it")

    def frames(self) -> Iterator[Frame]:
        """The image, luma as it was coded."""
        yield Frame(self._frames[0], index=0, time_s=0.0)

    def audio(self) -> tuple[NDArray[np.float32] | None, float]:
        """No audio."""
        return None, float("nan")

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()


@functools.cache
def _observer(missed_share: float) -> Any:
    """Return the observer; with a share, it assumes a face of score 0 in the middle where none is detected."""
    from extract.clip.faces import Face, FaceDetector
    from extract.clip.observe import MIN_FACE_PX, Observer

    class Assuming(FaceDetector):
        def detect(self, grey: NDArray[np.uint8], *, thorough: bool) -> list[Face]:
            left, top, right, bottom = _middle(grey.shape[1], grey.shape[0], missed_share)
            faces = [face for face in super().detect(grey, thorough=thorough) if face.side >= MIN_FACE_PX]
            return faces or [Face((left, top, right, bottom), 0.0)]

    return Observer(identities=False, detector=Assuming() if missed_share else None)


def _middle(width: int, height: int, share: float) -> list[float]:
    """Return the box of a face in the middle, ``share`` times as wide as the shorter side."""
    half = min(height, width) * share / 2
    return [width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half]


def observe(data: bytes, *, face_share: float | None = None, missed_share: float = 0.0) -> Observation:
    """Return the Observation of a still, held for :data:`HELD_FRAMES` frames.

    Parameters
    ----------
    data
        Bytes of a JPEG, PNG or WebP.
    face_share, missed_share
        As for :func:`stills_table`. An assumed face has the detector's score 0.

    Raises
    ------
    UnreadableError
        The bytes are not a JPEG, PNG or WebP.
    """
    still = Still(data)
    observed: Observation = (
        _observer(missed_share).observe(still) if face_share is None else _central_face(still, face_share)
    )
    return replace(
        observed,
        times_s=np.arange(HELD_FRAMES) / HELD_FPS,
        duration_s=HELD_FRAMES / HELD_FPS,
        duplicate=np.zeros(HELD_FRAMES, bool),
        tracks=tuple(_held(track) for track in observed.tracks),
    )


def _central_face(still: Still, share: float) -> Observation:
    """Return the Observation of only the crop of a face in the middle, ``share`` times the still's shorter side."""
    from extract.clip.crop_reservoir import EMPTY, face_crop

    frame = next(still.frames())
    height, width = frame.luma.shape
    box = np.array(_middle(width, height, share), np.float32)
    window, crop = face_crop(frame, box)
    unknown = np.full((1, 68, 2), np.nan, np.float32)
    face = Track(
        frame_index=np.zeros(1, np.int32),
        landmarks=unknown,
        flow=unknown,
        box=box[None],
        detector_score=np.zeros(1, np.float32),
        sharpness=np.full((1, 3), np.nan, np.float32),
        crop_index=np.zeros(1, np.int32),
        crop_box=np.array([window], np.float32),
        crops=(crop,),
        embedding=np.full((1, 128), np.nan, np.float32),
        patch_face=(EMPTY,),
        patch_background=(EMPTY,),
    )
    return Observation(
        times_s=np.zeros(1),
        frame_size=(width, height),
        duration_s=0.0,
        duplicate=np.zeros(1, bool),
        tracks=(face,),
        audio=None,
        audio_start_s=float("nan"),
        n_faces=1,
    )


def _held(track: Track) -> Track:
    """Repeat the only sample of a track."""
    repeated: dict[str, Any] = {}
    for field in fields(Track):
        value = getattr(track, field.name)
        repeated[field.name] = (
            value * HELD_FRAMES if isinstance(value, tuple) else np.repeat(value, HELD_FRAMES, axis=0)
        )
    positions = np.arange(HELD_FRAMES, dtype=np.int32)
    return replace(Track(**repeated), frame_index=positions, crop_index=positions[: len(repeated["crops"])])


def read_stills(place: Path) -> pa.Table:
    """Read the stills of a Parquet file or of all in a folder, as :func:`with_names_and_bytes` returns them.

    Raises
    ------
    DatasetError
        There is no file, a column is missing or of an unusable type, or a ``video`` occurs twice.
    """
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    try:
        parts = [with_names_and_bytes(table.read_parquet(file, NEEDED), str(file)) for file in files]
        stills = pa.concat_tables(parts)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{place}: no Parquet of stills with the columns {', '.join(NEEDED)} ({error})") from error
    if not stills.num_rows:
        raise DatasetError(f"{place}: no still in it")
    check_names_differ(stills, place)
    return stills


def check_names_differ(stills: pa.Table, place: Path) -> None:
    """Check that no ``video`` occurs twice.

    Raises
    ------
    DatasetError
        A ``video`` occurs twice; ``place`` says where.
    """
    for name, times in Counter(stills["video"].to_pylist()).most_common(1):
        if times > 1:
            raise DatasetError(f"{place}: the video {name!r} appears {times} times; give each still a different name")


def with_names_and_bytes(stills: pa.Table, where: str) -> pa.Table:
    """Return the table with ``video`` as text and ``jpeg`` as bytes.

    Integer ids become text, and images as Hugging Face's ``datasets`` store them, ``{"bytes": ..., "path": ...}``,
    become bytes.

    Raises
    ------
    DatasetError
        A column is missing or of another type, or a ``video`` is empty; ``where`` says in which file.
    """
    if lacking := [name for name in ("video", "jpeg") if name not in stills.column_names]:
        raise DatasetError(f"{where}: lacks the column {lacking[0]!r}; stills have {', '.join(NEEDED)}")
    names, images = stills["video"], stills["jpeg"]
    if not (_is_of(names, pa.types.is_integer) or _is_of(names, *TEXT)):
        raise DatasetError(f"{where}: the column 'video' holds {names.type}; write names or whole numbers into it")
    names = names.cast(pa.string())
    if names.null_count or "" in names.to_pylist():
        raise DatasetError(f"{where}: a still has no 'video'; give each a different name")
    if pa.types.is_struct(images.type) and images.type.get_field_index("bytes") >= 0:
        images = pc.struct_field(images, "bytes")
    if not _is_of(images, *BYTES, pa.types.is_null):
        raise DatasetError(f"{where}: the column 'jpeg' holds {images.type}; write the bytes of images into it")
    columns = {"video": names, "jpeg": images.cast(pa.binary())}
    return pa.table({name: columns.get(name, stills[name]) for name in stills.column_names})


def _is_of(column: pa.ChunkedArray, *kinds: Callable[[pa.DataType], bool]) -> bool:
    """Return whether a column, plain or dictionary-encoded, holds values of one of the types."""
    held = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return any(kind(held) for kind in kinds)


def measure(
    rows: Sequence[Mapping[str, Any]],
    families: tuple[str, ...],
    weights: Mapping[str, Path],
    face_share: float | None,
    missed_share: float,
) -> list[worker.Result]:
    """Measure each still, in the order of the rows."""
    with opencv_on_one_thread(), use_weights(weights) if weights else contextlib.nullcontext():
        return [_measured(row["video"], row["jpeg"], families, face_share, missed_share) for row in rows]


def _measured(
    name: str, jpeg: bytes, families: tuple[str, ...], face_share: float | None, missed_share: float
) -> worker.Result:
    """Measure a still like :func:`extract.run.worker.row`, but without a fault for missing audio."""
    known = discovery.families(families)
    try:
        observed = observe(jpeg or b"", face_share=face_share, missed_share=missed_share)
    except UnreadableError as error:
        return worker.failed(name, error.status, str(error), families, reason=Reason.UNREADABLE)
    values, failures = measuring.measure_clip(observed, known)
    found = face_share is not None or any(track.detector_score.any() for track in observed.tracks)
    reasons = worker.reasons_of(known, observed, values, failures)
    return worker.Result(
        name,
        "partial" if failures else ("ok" if found else "no_face"),
        "; ".join(f"{family} failed: {message}" for family, message in failures.items()),
        np.array([values[column] for column in worker.column_names(families)], np.float32),
        duration_s=0.0,
        n_frames=1,
        n_faces=observed.n_faces if found else 0,
        reasons={family: reason.value for family, reason in reasons.items()},
    )


def stills_table(
    stills: pa.Table,
    families: Iterable[str] = FAMILIES,
    *,
    weights: Mapping[str, Path] = MappingProxyType({}),
    face_share: float | None = None,
    missed_share: float = 0.0,
    jobs: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> pa.Table:
    """Return the feature table of all stills, sorted by name; labels are parsed as in a data set, groups unchanged.

    Parameters
    ----------
    stills
        The result of :func:`read_stills`.
    weights
        Maps a family to a weights file that replaces the one in use, such as the weights of one fold. The table records
        the weights only where those in use were used.
    face_share
        Width of the face over the still's shorter side; the face is assumed in the middle. None: faces are detected.
        For families that need only a crop, of networks that were trained on such crops.
    missed_share
        The same for stills without a detected face: their middle is measured as a face, and their status is still
        ``no_face``. 0: they are not measured.
    jobs
        Number of processes; results do not depend on it.
    progress
        Called with the numbers of stills done, of all stills, and of failed stills.

    Raises
    ------
    InputError
        There is no such family, it needs more than a crop where ``face_share`` is given, or a label is neither REAL nor
        FAKE.
    ModelError
        A projection of embeddings was fitted for weights different from those of its network.
    """
    from joblib import Parallel, delayed

    names = tuple(sorted(set(families)))
    chosen = discovery.families(names)
    digests = {} if weights else worker.with_digests(worker.Settings(names)).digests
    schema = table.schema(chosen, extractor=str(OBSERVATION_VERSION), weights=digests)
    if face_share is not None and (more := [family.name for family in chosen if family.needs - CROP_ALONE]):
        raise InputError(f"families: {more[0]} needs more than the crop of a face; measure it on its own")
    rows = stills.to_pylist()
    labels = [label_of(row["label"], f"still {row['video']}") for row in rows]
    batches = [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
    results: list[worker.Result] = []
    for part in Parallel(n_jobs=jobs, return_as="generator")(
        delayed(measure)(batch, names, weights, face_share, missed_share) for batch in batches
    ):
        results += part
        if progress is not None:
            progress(len(results), len(rows), sum(result.status == "unreadable" for result in results))
    base = {
        "filename": [row["video"] for row in rows],
        "label": labels,
        "group": [None if row["group"] is None else str(row["group"]) for row in rows],
        "source": [None] * len(rows),
        **{name: [getattr(result, name) for result in results] for name in ("status", "error", "reasons")},
        **{name: [getattr(result, name) for result in results] for name in ("duration_s", "n_frames", "n_faces")},
    }
    return table.build(base, np.stack([result.values for result in results]), schema)

"""A table of single-frame cues from labelled stills.

Stills come as a Parquet file, or a folder of them, with the columns ``video, label, group, jpeg`` (the bytes of a
JPEG), as face crops of the challenge are published. A still counts as a clip that stands still: what is measured on
one frame becomes a column's median, and columns of change say nothing. So a new single-frame cue can be judged
on thousands of identities in minutes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from av.error import FFmpegError
from numpy.typing import NDArray

from extract.clip.frame import Frame
from features import spec, table
from features.errors import DatasetError, UnreadableError
from features.observation import OBSERVATION_VERSION, Observation, Track
from features.threads import opencv_on_one_thread

logger = logging.getLogger(__name__)

FAMILIES = "spectrum,quality"
NEEDED = ("video", "label", "group", "jpeg")
BATCH = 100  # stills a task
HELD_FRAMES, HELD_FPS = 8, 25.0  # as many as the medians of a clip need


class Still:
    """One JPEG as footage of a single frame.

    Raises
    ------
    UnreadableError
        The bytes are no JPEG.
    """

    frames_expected = 1

    def __init__(self, data: bytes) -> None:
        decoder = av.CodecContext.create("mjpeg", "r")
        try:
            self._frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][:1]
        except FFmpegError as error:
            raise UnreadableError(f"not a JPEG: {error.strerror}") from error
        if not self._frames:
            raise UnreadableError("not a JPEG: no image in it")

    def frames(self) -> Iterator[Frame]:
        """The image, luma as it was coded."""
        yield Frame(self._frames[0], index=0, time_s=0.0)

    def audio(self) -> tuple[NDArray[np.float32] | None, float]:
        """No sound."""
        return None, float("nan")

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()


@functools.cache
def _observer() -> Any:
    from extract.clip.observe import Observer

    return Observer(identities=False)


def observe(data: bytes) -> Observation:
    """Observation of a still, held for :data:`HELD_FRAMES` frames.

    Raises
    ------
    UnreadableError
        The bytes are no JPEG.
    """
    observed: Observation = _observer().observe(Still(data))
    return replace(
        observed,
        times_s=np.arange(HELD_FRAMES) / HELD_FPS,
        duration_s=HELD_FRAMES / HELD_FPS,
        duplicate=np.zeros(HELD_FRAMES, bool),
        tracks=tuple(_held(track) for track in observed.tracks),
    )


def _held(track: Track) -> Track:
    """The only sample of a track, again and again."""
    repeated: dict[str, Any] = {}
    for one in fields(Track):
        value = getattr(track, one.name)
        repeated[one.name] = value * HELD_FRAMES if isinstance(value, tuple) else np.repeat(value, HELD_FRAMES, axis=0)
    positions = np.arange(HELD_FRAMES, dtype=np.int32)
    return replace(Track(**repeated), frame_index=positions, crop_index=positions[: len(repeated["crops"])])


def read_stills(place: Path) -> pa.Table:
    """Rows of the Parquet file, or of all in the folder.

    Raises
    ------
    DatasetError
        There is none, or a column is missing.
    """
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    try:
        stills = pa.concat_tables([pq.read_table(file, columns=list(NEEDED)) for file in files])
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{place}: no Parquet of stills with the columns {', '.join(NEEDED)} ({error})") from error
    return stills


def measure(rows: list[dict[str, Any]], families: tuple[str, ...]) -> list[tuple[str, str, int, NDArray[np.float32]]]:
    """Status, message, number of faces and values of each still, in the order of the table's columns."""
    with opencv_on_one_thread():
        return _measured(rows, families)


def _measured(rows: list[dict[str, Any]], families: tuple[str, ...]) -> list[tuple[str, str, int, NDArray[np.float32]]]:
    known = spec.families(families)
    names = [column.name for one in known for column in one.table_columns]
    results = []
    for row in rows:
        try:
            observed = observe(row["jpeg"])
        except UnreadableError as error:
            results.append(("unreadable", str(error), 0, np.full(len(names), np.nan, np.float32)))
            continue
        values, failures = spec.measure_clip(observed, known)
        status = "partial" if failures else ("ok" if observed.tracks else "no_face")
        message = "; ".join(f"{name} failed: {text}" for name, text in failures.items())
        results.append((status, message, observed.n_faces, np.array([values[name] for name in names], np.float32)))
    return results


def stills_table(stills: pa.Table, families: tuple[str, ...], *, jobs: int) -> pa.Table:
    """Table of the cues of all stills; groups as given."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    rows = stills.to_pylist()
    batches = [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
    results: list[tuple[str, str, int, NDArray[np.float32]]] = []
    with tqdm(total=len(rows), unit="still", mininterval=2.0) as bar:
        for part in Parallel(n_jobs=jobs, return_as="generator")(delayed(measure)(one, families) for one in batches):
            results += part
            bar.update(len(part))
    base = {
        "filename": [row["video"] for row in rows],
        "label": [row["label"] for row in rows],
        "group": [str(row["group"]) for row in rows],
        "source": [None] * len(rows),
        "status": [one[0] for one in results],
        "error": [one[1] for one in results],
        "duration_s": [0.0] * len(rows),
        "n_frames": [1] * len(rows),
        "n_faces": [one[2] for one in results],
    }
    schema = table.schema(spec.families(families), extractor=str(OBSERVATION_VERSION))
    return table.build(base, np.stack([one[3] for one in results]), schema)

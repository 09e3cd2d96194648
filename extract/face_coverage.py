"""Measure the fraction of each clip's frames with a tracked face, and draw the clips with the lowest fractions.

The fraction counts frames in which any face has landmarks, for each clip with a kept observation. The sheet shows
frames of the clips with the lowest fractions, with tracked faces boxed, so that a person can see missed faces.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.run.observation_store import is_of, kept_name
from features import observation
from features.errors import ClipError, DatasetError, InputError
from features.observation import Observation
from features.places import as_path, url_of

logger = logging.getLogger(__name__)

FRAMES, CELL_PX = 6, 240  # cells in a row of the sheet, and their side
GREEN, TEXT = (80, 220, 80), (235, 235, 235)


@dataclass(frozen=True)
class Coverage:
    """The fraction of one clip's frames with a tracked face; 0 without a face track."""

    clip: ClipEntry
    file: Path
    """The kept observation; it has some MB, so it is read again when it is drawn."""
    fraction: float


def fraction_followed(observed: Observation) -> float:
    """Return the fraction of frames in which any face has landmarks."""
    followed = np.zeros(len(observed.times_s), bool)
    for track in observed.tracks:
        followed[track.frame_index[np.isfinite(track.landmarks[:, 0, 0])]] = True
    return float(followed.mean()) if len(followed) else 0.0


def coverage(data: str, observations: str | Path) -> list[Coverage]:
    """Return every clip of a data set that has a kept observation, lowest coverage first.

    Observations of other files, such as a clip with the same name in another data set, are left out and counted in a
    warning.

    Parameters
    ----------
    data
        Path or URL of a folder, a manifest or a clip.
    observations
        Folder of kept observations, as a path or a ``file://`` URL.

    Raises
    ------
    InputError
        The observations are at a URL of another machine.
    DatasetError
        No clip has an observation, or one can't be used.
    """
    folder = Path(as_path(url_of(observations) or str(observations)))
    if url := url_of(folder):
        raise InputError(f"{url}: observations are read from a folder here; copy them to this machine first")
    kept = [(clip, file) for clip in find_clips(data) if (file := folder / kept_name(clip.filename)).is_file()]
    covered = [
        Coverage(clip, file, fraction_followed(observation.load_kept(file)))
        for clip, file in kept
        if is_of(observation.kept_header(file).key, clip.path)
    ]
    if not kept:
        raise DatasetError(f"{folder}: no observation of these clips; make them with deepcue extract --observations")
    of_others = (
        f"{folder}: {len(kept) - len(covered)} of {len(kept)} observations are of other files, or of these before they "
        "changed"
    )
    if not covered:
        raise DatasetError(f"{of_others}; give the folder that was kept of these clips as they are")
    if len(covered) < len(kept):
        logger.warning("%s; their clips are left out", of_others)
    return sorted(covered, key=lambda entry: (entry.fraction, entry.clip.filename))


def sheet(rows: Sequence[Coverage]) -> NDArray[np.uint8]:
    """Return an image with one row for each clip: evenly spread frames with tracked faces boxed."""
    return np.vstack([_row(row) for row in rows])


def _row(covered: Coverage) -> NDArray[np.uint8]:
    observed = observation.load_kept(covered.file)
    n = len(observed.times_s)
    wanted = {int(position) for position in (np.arange(FRAMES) + 0.5) * n / FRAMES}
    cells = []
    for index, frame in _frames(covered.clip, wanted):
        for track in observed.tracks:
            for row in np.flatnonzero((track.frame_index == index) & np.isfinite(track.landmarks[:, 0, 0])):
                left, top, right, bottom = np.round(track.box[row]).astype(int).tolist()
                width = max(2, frame.shape[1] // 200)
                cv2.rectangle(frame, (left, top), (right, bottom), GREEN, width)
        cells.append(_cell(frame))
    cells += [np.zeros((CELL_PX, CELL_PX, 3), np.uint8)] * (FRAMES - len(cells))
    strip = np.hstack(cells[:FRAMES])
    caption = f"{covered.fraction:.0%}  {covered.clip.filename}".encode("ascii", "replace").decode()
    cv2.putText(strip, caption, (6, CELL_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT, 1, cv2.LINE_AA)
    return strip


def _frames(clip: ClipEntry, wanted: set[int]) -> list[tuple[int, NDArray[np.uint8]]]:
    from extract.clip import decode

    frames = []
    try:
        with decode.ClipReader(clip.path, max_seconds=float("inf")) as opened:
            for frame in opened.frames():
                if frame.index in wanted:
                    frames.append((frame.index, frame.rgb().copy()))
                if len(frames) == len(wanted):
                    break
    except ClipError:
        pass  # show the frames that could be read
    return frames


def _cell(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit a frame into a square, padded with black."""
    scale = CELL_PX / max(frame.shape[:2])
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:CELL_PX, :CELL_PX]
    cell = np.zeros((CELL_PX, CELL_PX, 3), np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small
    return cell

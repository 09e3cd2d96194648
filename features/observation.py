"""The input of every cue: the data that one pass over a clip keeps.

An :class:`Observation` is small (a few megabytes), holds no container field, and is saved to one ``.npz`` file without
pickle; what is loaded equals what was saved, bit for bit. Its arrays are read-only, because all families of a clip read
the same ones.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.arrays import F32, U8
from features.errors import DatasetError

OBSERVATION_VERSION = 6
"""Version of the observation and of its file format. Observations of another version are rebuilt. Tables and journals
record it as the version of the extractor."""

MAX_SECONDS = 120.0  # analysed length of a clip, from its start, where no other is given
AUDIO_RATE_HZ = 16_000
LANDMARK_SIDE_PX = 256  # side of the grey square crop in whose whole pixels landmarks are found
LANDMARK_SCALE = 1.5  # that crop's side over the face box's
CROP_SCALE = 1.6  # side of a stored crop over the longer side of the face box
CROP_MAX_PX = 320  # larger crops are reduced by area to this side
CROPS_PER_TRACK = 16
PATCH_SIDES_PX = (128, 64)  # native patches: the largest that the face box holds


class _ReadOnlyArrays:
    """Make the arrays of a record read-only, so that no family measures what another one wrote.

    The arrays themselves are made read-only, not views of them: the crop of a held still is one object, scored once.
    """

    def __post_init__(self) -> None:
        for value in vars(self).values():
            for array in value if isinstance(value, tuple) else (value,):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the arrays read-only again after copying or unpickling, where NumPy makes them writable."""
        vars(self).update(state)
        self.__post_init__()


@dataclass(frozen=True, eq=False)
class Track(_ReadOnlyArrays):
    """One face tracked through the clip; its arrays become read-only.

    ``m`` is the number of frames from the track's first to its last, ``k`` the number of crops.
    Pixels are those of the upright full frame; x right, y down.
    """

    frame_index: NDArray[np.int32]
    """[m] position of each sample in ``Observation.times_s``."""
    landmarks: F32
    """[m, 68, 2] dlib/iBUG-68 points in px; NaN where the face was lost."""
    flow: F32
    """[m, 68, 2] landmarks of the previous sample, moved by optical flow, in px; NaN in the first sample, and where the
    forward-backward gap exceeds 2 px in a face crop scaled to 400 px (Sun et al. 2021)."""
    box: F32
    """[m, 4] left, top, right, bottom in px: found by the detector, or moved along with the landmarks."""
    detector_score: F32
    """[m] score of the last detection that confirmed the face, in [0, 1]."""
    sharpness: F32
    """[m, 3] mean absolute Laplacian of the luma (grey levels): inside the face box; in the ring around it; in the
    background patch. The first two are measured with the face box scaled to 171 px, the third at native scale. NaN
    where the face was lost."""
    crop_index: NDArray[np.int32]
    """[k] position in this track (0..m-1) of each crop, increasing."""
    crop_box: F32
    """[k, 3] left, top and side in px of the window that each crop shows; it may extend beyond the frame."""
    crops: tuple[U8, ...]
    """k arrays [s, s, 3], RGB; ``s`` is the window's side in whole px, at most ``CROP_MAX_PX``."""
    embedding: F32
    """[k, 128] dlib's identity embedding of each crop; NaN for crops that were not chosen for it. Biometric data, like
    the crops themselves: embeddings stay in kept observations and never reach a table."""
    patch_face: tuple[U8, ...]
    """k arrays [p, p]: luma at the video's resolution, centred on the landmarks; of size 0 for a face under 64 px."""
    patch_background: tuple[U8, ...]
    """k arrays [p, p]: luma of a place without a face, with texture like the face's; of size 0 if there is none."""

    def __len__(self) -> int:
        return len(self.frame_index)


@dataclass(frozen=True, eq=False)
class Observation(_ReadOnlyArrays):
    """The data that one pass over a clip keeps, the input of every cue family: frame times, tracked faces, audio.

    Its arrays become read-only, and so do those of its copies; use ``observation.audio.copy()`` to get a writable one.
    """

    times_s: NDArray[np.float64]
    """[n] presentation times of the decoded frames in seconds, increasing, as in the file."""
    frame_size: tuple[int, int]
    """Width and height in px, upright."""
    duration_s: float
    """Seconds from the first frame to the last, plus one mean frame interval; for an audio file, those of the audio."""
    duplicate: NDArray[np.bool_]
    """[n] true for a frame equal to the one before it (rate conversion); false for a repeat altered by lossy coding."""
    tracks: tuple[Track, ...]
    """The tracked faces, the main face first; empty without a face."""
    audio: F32 | None
    """[samples] mono audio at 16 kHz, full scale 1; None without an audio track."""
    audio_start_s: float
    """Presentation time of ``audio[0]`` in seconds, on the clock of ``times_s``; NaN without audio."""
    n_faces: int
    """Number of faces of 24 px or more that were tracked for at least a second (in a clip under two seconds, for half
    of it), or that were detected at the same time in two searches, whichever is larger. A face that reappears after
    more than 1 s counts again, so one person in three shots may count as three. The number is a lower bound: a search
    stops at the first detector that finds a face, so a small face beside a large one may be missed."""
    luma_levels: tuple[int, int] = (0, 255)
    """Black and white level of the luma patches, which keep the file's coding: (16, 235) in ordinary video."""
    quarters_turned: int = 0
    """Quarter turns counter-clockwise by which the frames were turned, because the faces in them are not upright."""
    warnings: tuple[str, ...] = ()
    """Problems of the pass, in words: damaged packets, a truncated clip."""
    notes: tuple[str, ...] = ()
    """Decisions made for the user, in words: which of two audio tracks was used, that timestamps were joined."""

    def crop_times_s(self, track: Track) -> NDArray[np.float64]:
        """Return the presentation time [k] of each crop of one of the tracks, in seconds."""
        return self.times_s[track.frame_index[track.crop_index]]

    def __repr__(self) -> str:
        width, height = self.frame_size
        return (
            f"<Observation: {self.duration_s:.2f} s, {len(self.times_s)} frames of {width}x{height} px, "
            f"tracks: {len(self.tracks)}, {'no audio' if self.audio is None else 'audio'}>"
        )


RAGGED = ("crops", "patch_face", "patch_background")
"""Fields of a :class:`Track` that hold one image per crop, each of its own size."""
PER_CROP = (*RAGGED, "crop_index", "crop_box", "embedding")
"""Fields of a :class:`Track` with one entry per crop; the others have one per sample."""

DAMAGED = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What :func:`load` raises for a truncated, altered or foreign file: zip, zlib and NumPy each have errors of their own
(found by altering single bytes of a file)."""

_SCALARS = ("frame_size", "duration_s", "audio_start_s", "n_faces", "luma_levels", "warnings", "notes")


def save(observation: Observation, file: BinaryIO | str, *, key: str = "") -> None:
    """Write to a path or binary file as compressed ``.npz``; ``key`` identifies the clip that it was made from."""
    scalars = {name: getattr(observation, name) for name in _SCALARS} | {"n_tracks": len(observation.tracks)}
    if observation.quarters_turned:  # only then, so that earlier releases read all other files
        scalars["quarters_turned"] = observation.quarters_turned
    scalars |= {"version": OBSERVATION_VERSION, "key": key}
    arrays: dict[str, Any] = {
        "scalars": np.frombuffer(json.dumps(scalars).encode(), dtype=np.uint8),
        "times_s": observation.times_s,
        "duplicate": observation.duplicate,
    }
    if observation.audio is not None:
        arrays["audio"] = observation.audio
    for number, track in enumerate(observation.tracks):
        for field in fields(Track):
            value = getattr(track, field.name)
            entry = f"track{number}.{field.name}"
            if field.name in RAGGED:
                arrays[f"{entry}.shapes"] = np.array([_shape3(item) for item in value], dtype=np.int32).reshape(-1, 3)
                value = np.concatenate([item.ravel() for item in value]) if value else np.empty(0, np.uint8)
            arrays[entry] = value
    np.savez_compressed(file, **arrays)


class ObservationHeader(NamedTuple):
    """The header of a kept observation, read without its crops and audio."""

    key: str
    """Identifies the clip that it was made from."""
    n_frames: int
    duration_s: float


class OtherKeyError(ValueError):
    """The observation was saved under another key, ``found``."""

    def __init__(self, found: str) -> None:
        super().__init__("the observation was made from another file or by another version")
        self.found = found


def load(file: BinaryIO | str, *, key: str | None = None) -> Observation:
    """Read what :func:`save` wrote.

    Raises
    ------
    OtherKeyError
        The observation was saved under another ``key``.
    ValueError
        The file is of another version, or is not an observation. A damaged file raises any of :data:`DAMAGED`.
    """
    with np.load(file, allow_pickle=False) as archive:
        scalars = _scalars(archive)
        if (kept_key := scalars.pop("key")) != key and key is not None:
            raise OtherKeyError(kept_key)
        tracks = tuple(_load_track(archive, number) for number in range(scalars.pop("n_tracks")))
        for name in ("frame_size", "luma_levels", "warnings", "notes"):
            scalars[name] = tuple(scalars[name])
        return Observation(
            times_s=archive["times_s"],
            duplicate=archive["duplicate"],
            tracks=tracks,
            audio=archive.get("audio"),
            **scalars,
        )


def header(file: BinaryIO | str) -> ObservationHeader:
    """Read the header of what :func:`save` wrote, which is quick; raises as :func:`load`."""
    with np.load(file, allow_pickle=False) as archive:
        scalars = _scalars(archive)
        return ObservationHeader(scalars["key"], len(archive["times_s"]), scalars["duration_s"])


def _scalars(archive: Any) -> dict[str, Any]:
    """Read the scalar fields of an archive, which are JSON, and check the version."""
    if "scalars" not in archive:
        raise ValueError("not an observation: the file has no entry 'scalars'")
    scalars: dict[str, Any] = json.loads(archive["scalars"].tobytes())
    if (version := scalars.pop("version", None)) != OBSERVATION_VERSION:
        raise ValueError(
            f"observation of version {version or 'below 4'}; this program reads version {OBSERVATION_VERSION}"
        )
    return scalars


def load_kept(file: Path) -> Observation:
    """Read an observation from the folder that ``deepcue extract --observations`` wrote.

    Raises
    ------
    DatasetError
        The file can't be used; the message gives the remedy.
    """
    with _opened_kept(file) as opened:
        return load(opened)


def kept_header(file: Path) -> ObservationHeader:
    """Read the header of a file of that folder.

    Raises
    ------
    DatasetError
        The file can't be used; the message gives the remedy.
    """
    with _opened_kept(file) as opened:
        return header(opened)


@contextlib.contextmanager
def _opened_kept(file: Path) -> Iterator[BinaryIO]:
    try:
        with file.open("rb") as opened:
            yield opened
    except DAMAGED as error:
        raise DatasetError(f"{file}: {error}; run deepcue extract --observations again to make it again") from error


def dumps(observation: Observation, *, key: str = "") -> bytes:
    """The bytes that :func:`save` would write."""
    buffer = io.BytesIO()
    save(observation, buffer, key=key)
    return buffer.getvalue()


def _load_track(archive: Any, number: int) -> Track:
    values: dict[str, Any] = {}
    for field in fields(Track):
        key = f"track{number}.{field.name}"
        values[field.name] = archive[key]
        if field.name in RAGGED:
            values[field.name] = _split(archive[key], archive[f"{key}.shapes"])
    return Track(**values)


def _shape3(image: U8) -> tuple[int, int, int]:
    """Height, width and channels; 0 channels stands for a grey image."""
    return (image.shape[0], image.shape[1], image.shape[2] if image.ndim == 3 else 0)


def _split(flat: U8, shapes: NDArray[np.int32]) -> tuple[U8, ...]:
    images, start = [], 0
    for height, width, channels in shapes.tolist():
        shape = (height, width, channels) if channels else (height, width)
        size = int(np.prod(shape))
        images.append(flat[start : start + size].reshape(shape))
        start += size
    return tuple(images)

"""What a family shows over time: a series of values, and the events in it.

A page draws each series as a lane under the frames; the family's columns are computed from the same series, so that
what a reader sees is what the number was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FACES_PER_SECOND = 2.0
"""How many faces of each person the networks judge for a page; a batch run judges eight, however long the clip."""


@dataclass(frozen=True)
class Event:
    """Something that happens from ``start_s`` to ``end_s``, in seconds of the clip: a blink, a cut, a jump.

    >>> Event(1.2, 1.4, "blink").length_s
    0.2
    """

    start_s: float
    end_s: float
    name: str

    @property
    def length_s(self) -> float:
        """Seconds from start to end."""
        return round(self.end_s - self.start_s, 6)


@dataclass(frozen=True)
class Series:
    """One measured quantity of a face or of the sound over the time of a clip.

    Parameters
    ----------
    times_s : array of shape (n,)
        Increasing presentation times in seconds; of a value over a window, the window's middle.
    values : array of shape (n,)
        NaN where undefined; a drawn line breaks there.
    unit
        As of a column: ``"1"`` for a pure number, ``s``, ``deg``, ``iod``, ``L*``, ``log-odds``, ...
    title
        A few words for the lane's head, as ``"Eye openness"``.
    events
        In order of time; may be empty.
    evidence
        False for context (light, sharpness): shown in grey, never as a reason.
    window_s
        Seconds over which each value was measured; 0 where it is of a moment.

    Raises
    ------
    ValueError
        Times and values differ in length, times do not increase, or the window is negative.

    Examples
    --------
    >>> shut = Event(0.05, 0.15, "blink")
    >>> openness = Series([0.0, 0.1, 0.2], [0.3, 0.1, 0.3], unit="1", title="Eye openness", events=(shut,))
    >>> len(openness.times_s), openness.events[0].name
    (3, 'blink')
    """

    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str
    title: str
    events: tuple[Event, ...] = ()
    evidence: bool = True
    window_s: float = 0.0

    def __init__(
        self,
        times_s: ArrayLike,
        values: ArrayLike,
        *,
        unit: str,
        title: str,
        events: tuple[Event, ...] = (),
        evidence: bool = True,
        window_s: float = 0.0,
    ) -> None:
        times, array = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
        if times.shape != array.shape or times.ndim != 1:
            raise ValueError(f"series {title!r}: {times.shape} times and {array.shape} values")
        if (np.diff(times) <= 0).any():
            raise ValueError(f"series {title!r}: times do not increase")
        if not window_s >= 0:
            raise ValueError(f"series {title!r}: a window of {window_s} s")
        for name, value in (
            ("times_s", times),
            ("values", array),
            ("unit", unit),
            ("title", title),
            ("events", events),
            ("evidence", evidence),
            ("window_s", float(window_s)),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class JudgedFace:
    """One face that the networks looked at."""

    time_s: float
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the face as fractions of the picture's width and height, in [0, 1]."""
    jpeg: bytes
    """Square crop around it, at most 160 px; empty when faces are not to be shown, or to keep a long clip small."""
    logits: Mapping[str, float]
    """Family of a face network to its log-odds that this face is fake."""


@dataclass(frozen=True)
class Person:
    """One tracked face: where it is, what its cues show over time, and the faces that were judged."""

    boxes_times_s: NDArray[np.float64]
    """[n] times at which its box is known."""
    boxes: NDArray[np.float32]
    """[n, 4] left, top, right, bottom as fractions of the picture's width and height."""
    faces: tuple[JudgedFace, ...]
    """In order of time."""
    series: Mapping[str, Series]
    """``family.name`` to series."""
    face_map_jpeg: bytes = b""
    """The face with the regions that move the networks' logit marked; empty where none was made."""
    face_regions: Mapping[str, float] = field(default_factory=dict)
    """Region of the face to log-odds that the faces most like a fake lose without it, see
    :mod:`features.networks.face_map`; empty where no network judged one."""


@dataclass(frozen=True)
class ClipEvidence:
    """What a page shows of one clip beside its verdict. Pure data: no model, no norms."""

    filename: str
    duration_s: float
    width: int
    height: int
    people: tuple[Person, ...]
    """The main person first, as in the table."""
    n_faces_detected: int
    """:attr:`features.observation.Observation.n_faces`; larger than the number of people when not all were followed."""
    sound: Mapping[str, Series]
    """Series of the sound alone: ``family.name`` to series; empty without sound."""
    filmstrip: tuple[tuple[float, bytes], ...]
    """Time and JPEG (at most 160 px wide) of frames spread over the clip; no bytes when faces are not to be shown."""
    cues: Mapping[str, float] = field(default_factory=dict)
    """Every column of every family, also of those that the model does not use; NaN where undefined."""

    def __repr__(self) -> str:
        return (
            f"<ClipEvidence: {self.filename}, {self.duration_s:.2f} s, {self.width}x{self.height} px, "
            f"people: {len(self.people)}, {len(self.cues)} cues>"
        )

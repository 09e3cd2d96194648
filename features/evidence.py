"""Evidence for a report: the series and events of a family over time, scored faces, and their collection for a clip.

A report draws each series as a lane below the frames. The family's columns are computed from the same series, so that
readers see where a number comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FACES_PER_SECOND = 2.0
"""Faces of each person that the networks score per second for a report; a batch run scores at most eight of a track."""


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


@dataclass(frozen=True, eq=False)  # arrays have no ==
class Series:
    """One measured quantity of a face or of the audio over the time of a clip.

    Parameters
    ----------
    times_s : array of shape (n,)
        Increasing presentation times in seconds; for a value measured over a window, the middle of the window.
    values : array of shape (n,)
        NaN where undefined; the drawn line is interrupted there.
    unit
        As of a column: ``"1"`` for a pure number, ``s``, ``deg``, ``iod``, ``L*``, ``log-odds``, ...
    title
        Heading of the lane, such as ``"Eye openness"``.
    events
        In order of time; may be empty.
    evidence
        False for context (light, sharpness), which is drawn in grey and never given as a reason.
    window_s
        Seconds over which each value was measured; 0 for a value of one moment.

    Raises
    ------
    ValueError
        Times and values differ in length, times do not increase, the window is negative, or ``events`` holds something
        that is not an Event.

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
        times, array = np.array(times_s, np.float64), np.array(values, np.float64)  # copies
        if times.shape != array.shape or times.ndim != 1:
            raise ValueError(
                f"series {title!r}: {times.shape} times and {array.shape} values; give two arrays of one length"
            )
        if not (np.diff(times) > 0).all() or np.isnan(times).any():
            raise ValueError(f"series {title!r}: times must increase from each value to the next")
        if not window_s >= 0:
            raise ValueError(f"series {title!r}: window_s must be 0 or more; it is {window_s}")
        happened = tuple(events)
        if not all(isinstance(event, Event) for event in happened):
            raise ValueError(f"series {title!r}: events = {events!r}; give a tuple of Event")
        for name, value in (
            ("times_s", times),
            ("values", array),
            ("unit", unit),
            ("title", title),
            ("events", happened),
            ("evidence", evidence),
            ("window_s", float(window_s)),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class JudgedFace:
    """One face that the networks scored."""

    time_s: float
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the face, as fractions of width and height of the frame that players show."""
    jpeg: bytes
    """Square crop around the face, at most 160 px; empty if faces are not to be shown, or to keep a long clip small."""
    logits: Mapping[str, float]
    """Log-odds that this face is fake, by family of face network."""


@dataclass(frozen=True, eq=False)  # arrays have no ==
class Person:
    """One tracked face: where it is, what its cues show over time, and the faces that were scored."""

    boxes_times_s: NDArray[np.float64]
    """[n] Times in seconds at which the box is known."""
    boxes: NDArray[np.float32]
    """[n, 4] left, top, right, bottom as fractions of width and height of the frame that players show."""
    faces: tuple[JudgedFace, ...]
    """In order of time."""
    series: Mapping[str, Series]
    """Series by ``family.name``."""
    face_map_jpeg: bytes = b""
    """The face with the regions that change the networks' logit marked; empty if no map was made."""
    face_regions: Mapping[str, float] = field(default_factory=dict)
    """By region of the face, the mean log-odds that the highest-scoring faces lose without it (see
    :mod:`features.networks.face_map`); empty if no network scored a face."""
    face_map_times_s: tuple[float, ...] = ()
    """Times in seconds of these faces, the one that the map shows first."""


@dataclass(frozen=True, eq=False)  # arrays have no ==
class ClipEvidence:
    """The evidence that a report shows beside the verdict on a clip. Pure data: no model, no norms."""

    filename: str
    duration_s: float
    width: int
    height: int
    people: tuple[Person, ...]
    """The main person first, as in the table."""
    n_faces_detected: int
    """As in ``Observation.n_faces``; larger than the number of people if not all faces were tracked."""
    audio: Mapping[str, Series]
    """Series of the audio alone, by ``family.name``; empty without audio."""
    filmstrip: tuple[tuple[float, bytes], ...]
    """Time and JPEG (at most 160 px wide) of frames spread over the clip; empty bytes if faces are not to be shown."""
    cues: Mapping[str, float] = field(default_factory=dict)
    """Every column of every family, including those that the model does not use; NaN where undefined."""
    lead_s: float = 0.0
    """Seconds of audio before the first frame, at which all times here are 0; a player counts from the audio's start.
    Values at negative times lie in these seconds."""

    @property
    def sound(self) -> Mapping[str, Series]:
        """Deprecated: use ``audio``."""
        return self.audio

    def __repr__(self) -> str:
        return (
            f"<ClipEvidence: {self.filename}, {self.duration_s:.2f} s, {self.width}x{self.height} px, "
            f"people: {len(self.people)}, {len(self.cues)} cues>"
        )

"""What a family shows over time: a series of values, and the events in it.

A page draws each series as a lane under the frames; the family's columns are computed from the same series, so that
what a reader sees is what the number was made of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
        As of a column: ``"1"`` for a pure number, ``s``, ``deg``, ``iod``, ``log-odds``, ...
    title
        A few words for the lane's head, as ``"Eye openness"``.
    events
        In order of time; may be empty.
    evidence
        False for context (light, sharpness): shown in grey, never as a reason.

    Raises
    ------
    ValueError
        Times and values differ in length, or times do not increase.

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

    def __init__(
        self,
        times_s: ArrayLike,
        values: ArrayLike,
        *,
        unit: str,
        title: str,
        events: tuple[Event, ...] = (),
        evidence: bool = True,
    ) -> None:
        times, array = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
        if times.shape != array.shape or times.ndim != 1:
            raise ValueError(f"series {title!r}: {times.shape} times and {array.shape} values")
        if (np.diff(times) <= 0).any():
            raise ValueError(f"series {title!r}: times do not increase")
        for name, value in (
            ("times_s", times),
            ("values", array),
            ("unit", unit),
            ("title", title),
            ("events", events),
            ("evidence", evidence),
        ):
            object.__setattr__(self, name, value)

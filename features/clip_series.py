"""The series of every family on a clip: of each person, and of the sound."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from features.evidence import Series
from features.observation import AUDIO_RATE_HZ
from features.spec import SOUND_ALONE, Family
from features.threads import opencv_on_one_thread

if TYPE_CHECKING:
    from features.observation import Observation

logger = logging.getLogger(__name__)

BEYOND_S = 1.0  # a series that reaches further beyond picture and sound is not in seconds of the clip


def person_series(observation: Observation, track: Any, chosen: Iterable[Family]) -> dict[str, Series]:
    """Series of the families that look at a face, of one face track; a family that raises has none.

    Returns
    -------
    dict
        ``family.name`` to series, in the families' order.
    """
    return _series([one for one in chosen if not one.needs <= SOUND_ALONE], observation, track)


def sound_series(observation: Observation, chosen: Iterable[Family]) -> dict[str, Series]:
    """Series of the sound, whoever is seen; empty without sound.

    A family that needs sound gives here, where it gets no track, what it hears alone; see ``Family.series``.
    """
    if observation.audio is None:
        return {}
    return _series([one for one in chosen if "sound" in one.needs], observation, None)


def _series(chosen: Iterable[Family], observation: Observation, track: Any) -> dict[str, Series]:
    found: dict[str, Series] = {}
    with opencv_on_one_thread():
        for one in chosen:
            if one.series is None:
                continue
            try:
                found |= _in_the_clip(_checked(one, dict(one.series(observation, track))), observation)
            except (Exception, SystemExit) as error:  # as with measures: a cue's fault costs its own
                logger.warning("series of family %s failed: %s", one.name, error, exc_info=True)
    return found


def _checked(one: Family, series: dict[str, Series]) -> dict[str, Series]:
    if strangers := [name for name in series if not name.startswith(f"{one.name}.")]:
        raise ValueError(f"{one.name} returned the series {strangers[0]}, which belongs to another family")
    if others := [name for name, value in series.items() if not isinstance(value, Series)]:
        raise TypeError(f"{one.name} returned {others[0]} as {type(series[others[0]]).__name__}, which is no Series")
    return series


def _in_the_clip(series: dict[str, Series], observation: Observation) -> dict[str, Series]:
    """The series whose times are of the clip: one that is in frame numbers would stretch the axis of every other."""
    start_s, end_s = _extent_s(observation)
    kept = {}
    for name, one in series.items():
        times_s = one.times_s
        if not len(times_s) or (times_s[0] >= start_s - BEYOND_S and times_s[-1] <= end_s + BEYOND_S):
            kept[name] = one
        else:
            where = f"{times_s[0]:g} to {times_s[-1]:g} s, of a clip from {start_s:.1f} to {end_s:.1f} s"
            logger.warning("series %s is left out: it goes from %s; give seconds of the clip", name, where)
    return kept


def _extent_s(observation: Observation) -> tuple[float, float]:
    """When the first of picture and sound begins, and when the last of them ends."""
    picture, times_s = [], observation.times_s
    if len(times_s):
        picture = [float(times_s[0]), float(times_s[0]) + observation.duration_s]
    sound = []
    if observation.audio is not None:
        sound = [observation.audio_start_s, observation.audio_start_s + len(observation.audio) / AUDIO_RATE_HZ]
    ends = [*picture, *sound] or [0.0]
    return min(ends), max(ends)

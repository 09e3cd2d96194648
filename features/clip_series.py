"""The series of every family on a clip: those of each person, and those of the audio."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from features.evidence import Series
from features.observation import AUDIO_RATE_HZ
from features.spec import AUDIO_ONLY, Family
from features.threads import opencv_on_one_thread

if TYPE_CHECKING:
    from features.observation import Observation

logger = logging.getLogger(__name__)

BEYOND_S = 1.0  # a series that extends further beyond video and audio is not in seconds of the clip


def person_series(observation: Observation, track: Any, chosen: Iterable[Family]) -> dict[str, Series]:
    """Return the series of one face track, from the families that measure faces; a family that fails has none.

    Returns
    -------
    dict
        ``family.name`` to series, in the families' order.
    """
    return _series([family for family in chosen if not family.needs <= AUDIO_ONLY], observation, track)


def audio_series(observation: Observation, chosen: Iterable[Family]) -> dict[str, Series]:
    """Return the series of the audio, independent of any face; empty without audio.

    Families that need audio are called without a track and return the series of the audio alone; see ``Family.series``.
    """
    if observation.audio is None:
        return {}
    return _series([family for family in chosen if "sound" in family.needs], observation, None)


def _series(chosen: Iterable[Family], observation: Observation, track: Any) -> dict[str, Series]:
    series: dict[str, Series] = {}
    with opencv_on_one_thread():
        for family in chosen:
            if family.series is None:
                continue
            try:
                series |= _in_the_clip(_checked(family, dict(family.series(observation, track))), observation)
            except (Exception, SystemExit) as error:  # a failing family loses only its own series
                logger.warning("series of family %s failed: %s", family.name, error, exc_info=True)
    return series


def _checked(family: Family, series: dict[str, Series]) -> dict[str, Series]:
    if strangers := [name for name in series if not name.startswith(f"{family.name}.")]:
        raise ValueError(f"{family.name} returned the series {strangers[0]}, which belongs to another family")
    if others := [name for name, value in series.items() if not isinstance(value, Series)]:
        raise TypeError(
            f"{family.name} returned {others[0]} as {type(series[others[0]]).__name__}, which is not a Series"
        )
    return series


def _in_the_clip(series: dict[str, Series], observation: Observation) -> dict[str, Series]:
    """Leave out series whose times lie outside the clip: frame numbers as times would stretch the axis of all lanes."""
    start_s, end_s = _extent_s(observation)
    kept = {}
    for name, value in series.items():
        times_s = value.times_s
        if not len(times_s) or (times_s[0] >= start_s - BEYOND_S and times_s[-1] <= end_s + BEYOND_S):
            kept[name] = value
        else:
            where = f"{times_s[0]:g} to {times_s[-1]:g} s, of a clip from {start_s:.1f} to {end_s:.1f} s"
            logger.warning("series %s is left out: it goes from %s; give seconds of the clip", name, where)
    return kept


def _extent_s(observation: Observation) -> tuple[float, float]:
    """Return the start of the clip and its end, in seconds: the earlier and later of video and audio."""
    video, times_s = [], observation.times_s
    if len(times_s):
        video = [float(times_s[0]), float(times_s[0]) + observation.duration_s]
    audio = []
    if observation.audio is not None:
        audio = [observation.audio_start_s, observation.audio_start_s + len(observation.audio) / AUDIO_RATE_HZ]
    ends = [*video, *audio] or [0.0]
    return min(ends), max(ends)

"""The series of every family on a clip: of each person, and of the sound."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from features.spec import SOUND_ALONE, Family
from features.threads import opencv_on_one_thread

if TYPE_CHECKING:
    from features.evidence import Series
    from features.observation import Observation

logger = logging.getLogger(__name__)


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
                found |= _checked(one, dict(one.series(observation, track)))
            except Exception as error:  # as with measures: a cue's fault costs its own
                logger.warning("series of family %s failed: %s", one.name, error, exc_info=True)
    return found


def _checked(one: Family, series: dict[str, Series]) -> dict[str, Series]:
    if strangers := [name for name in series if not name.startswith(f"{one.name}.")]:
        raise ValueError(f"{one.name} returned the series {strangers[0]}, which belongs to another family")
    return series

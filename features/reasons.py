"""Codes in the feature table for the reasons why a clip, or a family of cues, has no values.

The table's column ``reasons`` holds, for each clip, a JSON object from a name to one of these codes. The name is that
of a family, ``clip`` (nothing was measured in the clip) or ``observation`` (the clip was read incompletely, or its
observation could not be kept). Programs read the codes; the column ``error`` is for people, and its wording may change.
"""

from __future__ import annotations

from enum import StrEnum

CLIP, OBSERVATION = "clip", "observation"
RESERVED = frozenset({CLIP, OBSERVATION})
"""Names in ``reasons`` that are not families."""


class Reason(StrEnum):
    """A code in the feature table's column ``reasons``.

    >>> from features.reasons import Reason
    >>> Reason("no_sound") is Reason.NO_AUDIO
    True
    >>> f"{Reason.NO_AUDIO}"
    'no_sound'
    """

    UNREADABLE = "unreadable"
    """``clip``: the file is neither video nor audio, is damaged, or has video that can't be decoded."""
    TOO_SHORT = "too_short"
    """A family: the clip has too few frames for it."""
    TIMEOUT = "timeout"
    """``clip``: it exceeded the time limit."""
    OUT_OF_MEMORY = "out_of_memory"
    """``clip``: it exceeded the memory limit."""
    CRASHED = "crashed"
    """``clip``: the measuring process died, or this program has a fault."""
    NOT_STARTED = "not_started"
    """``clip``: no measuring process could be started."""
    STOPPED = "stopped"
    """``clip``: the run was stopped before the clip was done."""
    NOT_FETCHED = "not_fetched"
    """``clip``: the file does not exist, or the disk or the network failed; the next run tries again."""

    FAILED = "failed"
    """A family: its code raised an error; ``error`` quotes it."""
    NOT_INSTALLED = "not_installed"
    """A family: the weights of its network are missing."""
    NO_AUDIO = "no_sound"
    """A family that needs audio: the clip has none."""
    NO_VIDEO = "no_picture"
    """A family that needs video: the file holds only audio."""
    NO_FACE = "no_face"
    """A family that needs a face: none was found."""
    UNUSABLE = "unusable"
    """A family: nothing in the clip was good enough for it."""

    DAMAGED = "damaged"
    """``observation``: parts of the file could not be decoded."""
    NOT_KEPT = "not_kept"
    """``observation``: it could not be written, or ``deepcue oof`` did not find it or found that of another clip (the
    families that ``oof`` would measure then have no code). This code replaces ``damaged``, which ``error`` still
    reports."""

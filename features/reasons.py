"""Why a clip, or a family of cues, has no numbers: the codes that the feature table keeps.

The table's column ``reasons`` holds, for each clip, a JSON object from a name to one of these codes. The name is that
of a family, ``clip`` (nothing of the clip was measured) or ``observation`` (the clip was read incompletely, or its
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
    >>> Reason("no_sound") is Reason.NO_SOUND
    True
    >>> f"{Reason.NO_SOUND}"
    'no_sound'
    """

    UNREADABLE = "unreadable"
    """``clip``: neither video nor sound, damaged, or with a picture that can't be decoded."""
    TOO_SHORT = "too_short"
    """A family: too few frames for it."""
    TIMEOUT = "timeout"
    """``clip``: it took more time than a clip may."""
    OUT_OF_MEMORY = "out_of_memory"
    """``clip``: it took more memory than a clip may."""
    CRASHED = "crashed"
    """``clip``: the measuring process died, or a fault of this program."""
    NOT_STARTED = "not_started"
    """``clip``: no measuring process could be started."""
    STOPPED = "stopped"
    """``clip``: the run was stopped before the clip was done."""
    NOT_FETCHED = "not_fetched"
    """``clip``: the file is not there, or the disk or the network failed; the next run tries again."""

    FAILED = "failed"
    """A family: its code raised an error; ``error`` quotes it."""
    NOT_INSTALLED = "not_installed"
    """A family: the weights of its network are not there."""
    NO_SOUND = "no_sound"
    """A family that needs sound: the clip has none."""
    NO_PICTURE = "no_picture"
    """A family that looks at the picture: the file holds sound alone."""
    NO_FACE = "no_face"
    """A family that needs a face: none was found."""
    UNUSABLE = "unusable"
    """A family: nothing in the clip was good enough for it."""

    DAMAGED = "damaged"
    """``observation``: parts of the file could not be decoded."""
    NOT_KEPT = "not_kept"
    """``observation``: it was to be kept and could not be written, or ``deepcue oof``, which measures families of it,
    did not find it, or found that of another clip; these have no code then. It says so in place of ``damaged``, of
    which ``error`` tells."""

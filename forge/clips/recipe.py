"""The recipe of a forged data set: which kinds of forgery, of how much of each clip, from which seed."""

from __future__ import annotations

from dataclasses import dataclass

from features.errors import InputError
from forge.clips.read import MAX_SECONDS, MAX_SIDE_PX
from forge.clips.registry import kinds


@dataclass(frozen=True)
class ForgeryRecipe:
    """What to make from every real clip.

    Raises
    ------
    InputError
        A kind does not exist, or a number is out of range.
    """

    kinds: tuple[str, ...] = ()
    """Names of :func:`forge.clips.registry.kinds`; empty: all."""
    per_clip: int = 0
    """Number of forgeries per clip, with kinds in turn; 0: one of each kind."""
    seed: int = 0
    """Random seed; the same clips, recipe and seed give the same bytes, with any number of processes."""
    max_seconds: float = MAX_SECONDS
    """Seconds to keep of each clip, > 0."""
    max_side: int = MAX_SIDE_PX
    """Longer side of frames in px, > 0; larger frames are reduced."""
    voices: tuple[str, ...] = ()
    """Audio or video files with voices for dubs; empty: use the clips of the donor pool."""

    def __post_init__(self) -> None:
        for name in self.kinds:
            if name not in kinds():
                raise InputError(f"{name!r} is not a kind of forgery; known are {', '.join(kinds())}")
        for name, value, least in (
            ("per_clip", self.per_clip, 0),
            ("seed", self.seed, 0),
            ("max_side", self.max_side, 1),
        ):
            if value < least:
                raise InputError(f"{name} {value}: must be at least {least}")
        if not self.max_seconds > 0:
            raise InputError(f"max_seconds {self.max_seconds}: must be above 0")

    @property
    def all_kinds(self) -> tuple[str, ...]:
        """Names of the kinds, also where the recipe names none."""
        return self.kinds or tuple(kinds())

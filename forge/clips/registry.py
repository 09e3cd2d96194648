"""The registry of manipulations: functions of a clip, parameters and a random generator.

A kind is registered with its needs and with a function that samples its parameters::

    @kind("desync", part="sound", needs={"sound"}, sample=lambda rng: {"shift_s": float(rng.uniform(0.2, 0.6))})
    def desync(clip, parameters, rng, donor):
        ...

``parameters`` are plain JSON; together with the seed they determine the result. The modules of :data:`MODULES` register
their kinds when :func:`kinds` is first called.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from forge.clips.clip import EditableClip

NEEDS = frozenset({"face", "sound", "donor_face", "donor_sound"})
MODULES = ("forge.clips.audio", "forge.clips.video")
MIN_FACE_FRACTION = 0.5  # with a face in fewer frames, a manipulation of it would hardly be visible
Parameters = Mapping[str, Any]
Sample = Callable[[np.random.Generator], dict[str, Any]]


class Apply(Protocol):
    """The signature of a manipulation."""

    def __call__(
        self, clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
    ) -> EditableClip:
        """Return the forged clip; ``donor`` is another person's clip, for kinds that need one."""


@dataclass(frozen=True)
class Kind:
    """A registered manipulation.

    ``part`` is what it changes: ``picture`` (the video), ``sound`` (the audio) or ``none`` (both classes alike).
    """

    name: str
    part: str
    needs: frozenset[str]
    sample: Sample = field(compare=False)
    apply: Apply = field(compare=False)

    @property
    def description(self) -> str:
        """The first paragraph of the function's docstring, in one line."""
        text = " ".join((inspect.getdoc(self.apply) or "").split("\n\n")[0].split())
        return text.removesuffix(".")

    def missing(self, clip: EditableClip, donor: EditableClip | None) -> str:
        """Describe what the clips lack for this kind; empty when they lack nothing."""
        lacks = {
            "face": clip.face_fraction < MIN_FACE_FRACTION,
            "sound": clip.audio is None,
            "donor_face": donor is None or donor.face_fraction < MIN_FACE_FRACTION,
            "donor_sound": donor is None or donor.audio is None,
        }
        words = {
            "face": "no face in most of its frames",
            "sound": "no audio",
            "donor_face": "no other clip with a face to take it from",
            "donor_sound": "no other clip with audio to take it from",
        }
        return "; ".join(words[need] for need in sorted(self.needs) if lacks[need])


_registry: dict[str, Kind] = {}


def kind(name: str, *, part: str, needs: Iterable[str], sample: Sample) -> Callable[[Apply], Apply]:
    """Register the decorated function as a manipulation.

    Parameters
    ----------
    name
        Name in ``--kinds`` and in the manifest; replaces a registered kind of the same name.
    part
        Part that it changes: ``picture`` (the video), ``sound`` (the audio) or ``none``.
    needs
        Some of :data:`NEEDS`.
    sample
        Draws parameters, plain JSON, from a random generator.

    Raises
    ------
    ValueError
        ``needs`` has an unknown entry.
    """
    wanted = frozenset(needs)
    if unknown := wanted - NEEDS:
        raise ValueError(f"kind {name} needs {sorted(unknown)}; known are {sorted(NEEDS)}")

    def register(apply: Apply) -> Apply:
        _registry[name] = Kind(name, part, wanted, sample, apply)
        return apply

    return register


def kinds() -> dict[str, Kind]:
    """Return all kinds by name, sorted."""
    for module in MODULES:
        importlib.import_module(module)
    return dict(sorted(_registry.items()))

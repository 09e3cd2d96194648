"""Manipulations of the sound: shifts, foreign voices, changed voices."""

from __future__ import annotations

from typing import Any

import numpy as np

from forge.clip import RATE_HZ, Clip, Sound
from forge.kinds import Parameters, kind


def _draw_desync(rng: np.random.Generator) -> dict[str, Any]:
    return {"shift_s": float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.6))}


@kind("desync", part="sound", needs={"sound"}, draw=_draw_desync)
def desync(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """The sound moved against the picture (positive: late); what leaves at one end returns at the other."""
    assert clip.sound is not None
    return clip.with_sound(np.roll(clip.sound, round(parameters["shift_s"] * RATE_HZ)))


def _draw_dub(rng: np.random.Generator) -> dict[str, Any]:
    return {"voice": "donor", "seed": int(rng.integers(2**31))}


@kind("dub", part="sound", needs={"sound"}, draw=_draw_dub)
def dub(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """Another voice, saying something else: the donor's, or a synthesised one when there is none."""
    assert clip.sound is not None
    if donor is not None and donor.sound is not None and parameters["voice"] == "donor":
        return clip.with_sound(matched_level(np.resize(donor.sound, clip.sound.size), clip.sound))
    from forge.voice import Speaker, speak

    own = np.random.default_rng(parameters["seed"])
    return clip.with_sound(matched_level(speak(clip.duration_s, Speaker.draw(own), own).sound, clip.sound))


def matched_level(sound: Sound, model: Sound) -> Sound:
    """``sound`` with the loudness (RMS) of ``model``."""
    own, wanted = float(np.sqrt(np.mean(sound**2))), float(np.sqrt(np.mean(model**2)))
    return np.clip(sound * (wanted / own if own > 0 else 0.0), -1, 1).astype(np.float32)

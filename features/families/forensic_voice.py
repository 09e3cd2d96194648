"""forensic_voice: whether the speech sounds synthetic to a detector trained on genuine and synthetic speech.

The logit, the log-odds of synthetic speech, is the mean of three models: a linear model of the cues of
:mod:`features.families.voice` and of statistics of bands, a small convolutional network on the log-mel spectrogram, and
a linear model of the responses of a speech recogniser's first layers. They were trained on lip-to-speech, dubbing,
speech-to-speech translation and text-to-speech, and on bona fide speech, both altered by the same codecs, rooms,
noises, splices and band limits: see :mod:`training.voice` and docs/MODEL_CARD.md. Systems whose speech is as varied as
recorded speech, and synthesis by rules, may go undetected.

Audio that does not change (mains hum, a tone, steady noise: :func:`features.measures.voice_measures.is_steady`) is not
scored.

Confounds: there is no other speech detector in front of it. Everything within 15 dB of the loud parts of the audio is
scored, so music and noise that comes and goes also get a logit, which means nothing. A constant offset (DC) as large as
the RMS lowered the logits of three clips by 0.25 to 0.49, one of a tenth by at most 0.13. The same speech reversed in
time got logits that differ by 0.06 to 0.34.
"""

from __future__ import annotations

import numpy as np

from features.evidence import Series
from features.measures.voice_measures import clip_cues, is_steady
from features.networks.speech_model import MAX_LOGIT, VoiceModel
from features.networks.weights import kept_in_memory, weights_file
from features.observation import AUDIO_RATE_HZ, Observation, Track
from features.spec import EVERY_CHANGE, Column, family

NAME = "forensic_voice"
WINDOW_S, HOP_S = 3.0, 1.0  # of the series; cues of shorter audio carry little evidence
_SOURCE = "logistic regressions and a convolutional network, trained by training/voice; after Kawa et al. 2023"

COLUMNS = (
    Column(
        f"{NAME}.logit",
        range=(-MAX_LOGIT, MAX_LOGIT),
        reference=_SOURCE,
        direction="up",
        invariant_to=EVERY_CHANGE,
        description="The model's log-odds that the loud parts of the audio, speech or not, are synthetic speech; 0 is "
        "undecided.",
    ),
    Column(
        f"{NAME}.valid_share",
        range=(0.0, 1.0),
        direction="covariate",
        description="1 if at least 0.3 s of the audio are within 15 dB of its loud parts, speech or not, the audio "
        "is more than a hum, tone or steady noise, and the weights are there, else 0.",
    ),
)


_model = kept_in_memory(VoiceModel.load)


def window_series(observation: Observation, track: Track | None) -> dict[str, Series]:
    """Return the series ``forensic_voice.logit``: one window of 3 s per second, or all the audio if it is shorter.

    The value is NaN for a window with under 0.3 s of speech or of steady sound; the result is empty if all windows are,
    or without weights. The column is the same model's logit of the whole audio as one window.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    file, audio = weights_file(NAME), observation.audio
    if audio is None or not audio.size or not file.exists():
        return {}
    size, hop = round(WINDOW_S * AUDIO_RATE_HZ), round(HOP_S * AUDIO_RATE_HZ)
    starts = np.arange(0, max(len(audio) - size, 0) + 1, hop)
    windows = [audio[start : start + size] for start in starts]
    model = _model(file)
    measured = [None if is_steady(window) else model.inputs(window) for window in windows]
    values = [model.logit(inputs) if inputs is not None else np.nan for inputs in measured]
    if not np.isfinite(values).any():
        return {}
    middles_s = (starts + np.array([len(window) for window in windows]) / 2) / AUDIO_RATE_HZ
    times_s = observation.audio_start_s + middles_s
    window_s = len(windows[0]) / AUDIO_RATE_HZ
    return {f"{NAME}.logit": Series(times_s, values, unit="log-odds", title="Speech model", window_s=window_s)}


@family(NAME, version=5, needs={"sound", "weights"}, columns=COLUMNS, series=window_series)
def measure(observation: Observation, track: Track | None) -> dict[str, float]:
    """Measure the clip's audio, whoever speaks; NaN in steady sound, with under 0.3 s of speech, or without weights.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    file, audio = weights_file(NAME), observation.audio
    inputs = None
    if audio is not None and file.exists():
        inputs = _model(file).inputs(audio, clip_cues(observation))
    if inputs is None:
        return {f"{NAME}.logit": float("nan"), f"{NAME}.valid_share": 0.0}
    return {f"{NAME}.logit": _model(file).logit(inputs), f"{NAME}.valid_share": 1.0}

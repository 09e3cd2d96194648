"""voice: whether the speech sounds genuine or synthetic.

Linear-frequency cepstral coefficients (LFCC, Sahidullah et al. 2015, the baseline of ASVspoof), numbers that describe
the shape of the audio's spectrum from coarse to fine: their means, how much they vary, and how much their slopes do;
spectral shape; how alike frequency bands move, and how fast. All are measured on audio pre-emphasised with
``PRE_EMPHASIS``, which raises high frequencies by up to 36 dB against low ones: energies and frequencies in the columns
are those of the pre-emphasised audio, not of the recording itself. Speech synthesised from lips or units regresses
towards a mean: its cepstra vary less than genuine speech's. Concatenated speech and neural text-to-speech, which are
cleaner than any recording, may err the other way.

Measured over speech frames, those within 15 dB of the loud ones: clips of a second, and noisy ones, have no silence to
count from. Pauses are closed up: the frame before one and the frame after it count as neighbours in ``flux_med``.
``fast*`` and ``very_fast*`` are of every frame, since closing up pauses would make changes of its own: how long pauses
are, and the noise in them, counts there. Digital silence of 50 ms or more is cut out before anything is measured.
Audio that does not change (hum, a tone, steady noise) is not measured.
Nothing depends on the level of the recording. Pitch, jitter and shimmer are not measured: to follow pitch
(pYIN) costs as much as to decode the clip.

Confounds: noise (which levels cepstra as synthesis does), noise suppression, music, a narrow codec. If the file's audio
is sampled below 16 kHz, or its codec cuts off above a frequency, bands beyond that limit hold the residue of resampling
and coding instead of speech: ``bands_*``, ``fast2``, ``fast3`` and high LFCCs then measure that residue. Resampling
cuts off a little below half the lower rate, too: audio of 16 kHz that was converted to 44.1 or 48 kHz has weaker
highest bands, which moves means of LFCCs by up to 0.25. A constant offset (DC) counts as sound of low frequency: one of
a tenth of the RMS lowered ``very_fast0_share`` by up to half in three clips. Another person's genuine voice is not
synthetic speech, and the challenge's swapped voices are not labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from features.measures.voice_measures import BAND_GROUPS, N_BANDS, clip_cues
from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, columns_of, complete_row, family

_SPECTRUM, _LFCC = "librosa's spectral features, of pre-emphasised audio", "LFCC: Sahidullah et al. 2015"
_MODULATION = "modulation spectrum: Houtgast & Steeneken 1985"

_column = columns_of("voice", invariant_to=EVERY_CHANGE)


def _cepstral_columns() -> Iterator[Column]:
    for number in range(N_BANDS):
        if number:  # the first cepstrum's mean is the level
            text = f"Mean of LFCC {number} over the speech; LFCCs describe the spectrum's shape, coarse to fine."
            yield _column(f"lfcc{number:02}_mean", text, reference=_LFCC)
        level = "" if number else " (the loudness)"
        text = f"How much LFCC {number}{level} varies over the speech (standard deviation)."
        yield _column(f"lfcc{number:02}_std", text, range=(0, inf), direction="down", reference=_LFCC)
        text = f"How much the speed of change of LFCC {number}{level} varies over the speech (standard deviation)."
        yield _column(f"dlfcc{number:02}_std", text, range=(0, inf), direction="down", reference=_LFCC)


def _modulation_columns() -> Iterator[Column]:
    for number, (first, last) in enumerate(BAND_GROUPS):
        kilohertz = f"{8 * first // N_BANDS} to {8 * last // N_BANDS} kHz"
        changes = f"Fraction of the changes in loudness from {kilohertz}, pauses included, that go"
        for name, words in (("fast", "8 to 16"), ("very_fast", "more than 16")):
            text = f"{changes} {words} times a second."
            yield _column(f"{name}{number}_share", text, range=(0, 1), reference=_MODULATION)


COLUMNS = (
    *_cepstral_columns(),
    _column(
        "flatness_med",
        "Median flatness of the spectrum of pre-emphasised speech: 1 where all frequencies are equally strong, "
        "0 for a pure tone.",
        range=(0, 1), reference=_SPECTRUM,
    ),
    _column(
        "centroid_med_hz",
        "Median frequency about which the magnitude spectrum of pre-emphasised speech is centred.",
        unit="Hz", range=(0, 8000), reference=_SPECTRUM,
    ),
    _column(
        "rolloff_med_hz",
        "Median frequency below which 85 % of the magnitude spectrum of pre-emphasised speech lies.",
        unit="Hz", range=(0, 8000), reference=_SPECTRUM,
    ),
    _column(
        "flux_med",
        "Median change of the spectrum's shape from one speech frame to the next (10 ms, more across pauses); 0 is "
        "none, 2 the most.",
        range=(0, 2), reference=_SPECTRUM,
    ),
    _column(
        "hf_share_db",
        "How much of the energy of pre-emphasised speech lies above 4 kHz, in decibels below the whole.",
        unit="dB", range=(-inf, 0), direction="down",
        reference="energy above 4 kHz over the whole, of pre-emphasised audio",
    ),
    _column(
        "bw99_hz", "Frequency below which 99 % of the energy of pre-emphasised speech lies.",
        unit="Hz", range=(0, 8000), direction="down",
        reference="cumulative energy over frequency, of pre-emphasised audio",
    ),
    _column(
        "bands_near_corr",
        "How alike the levels of neighbouring frequency bands move over time (mean correlation).",
        range=(-1, 1), direction="up", reference="correlation of neighbouring bands' levels",
    ),
    _column(
        "bands_all_corr", "How alike the levels of any two frequency bands move over time (mean correlation).",
        range=(-1, 1), direction="up", reference="mean correlation of two bands' levels",
    ),
    *_modulation_columns(),
    _column(
        "speech_share", "Fraction of the audio that is speech, after digital silence has been cut out.",
        range=(0, 1), direction="covariate", reference="frames within 15 dB of the loud ones",
    ),
    _column(
        "valid_share",
        "1 if at least 0.3 s of the clip's audio are within 15 dB of its loud parts, speech or not, and the audio is "
        "more than a hum, tone or steady noise, else 0.",
        range=(0, 1), direction="covariate",
    ),
)  # fmt: skip


@family("voice", version=2, needs={"sound"}, columns=COLUMNS)
def measure(observation: Observation, track: Track | None) -> dict[str, float]:
    """Measure the clip's audio, whoever speaks; all NaN without audio, in steady sound, or below 0.3 s of speech."""
    values = clip_cues(observation)
    return complete_row(COLUMNS, values | {"valid_share": float(bool(values))})

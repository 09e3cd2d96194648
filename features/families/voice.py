"""voice: whether a voice sounds recorded or made.

Cepstra of linear bands (LFCC, Sahidullah et al. 2015, the baseline of ASVspoof), their spread and that of their slopes;
spectral shape; how alike bands move, and how fast. What makes speech from lips or units regresses towards a mean: its
cepstra vary less than a recorded voice's. Concatenated and neural speech from text, clean as no recording is, may err
the other way.

Over speech frames, those within 15 dB of the loud ones: clips of a second, and noisy ones, have no silence to count
from. Nothing depends on the level of the recording. Pitch, jitter and shimmer are no part: to follow pitch (pYIN) costs
as much as to decode the clip.

Confounds: noise (which levels cepstra as making does), noise suppression, music, a narrow codec. A real voice of
another person is no made voice, and the challenge's swapped voices are not labelled.
"""

from __future__ import annotations

from collections.abc import Iterator

from features.observation import Observation, Track
from features.spec import EVERY_CHANGE, Column, family
from features.voice_measures import BAND_GROUPS, N_BANDS, cues

_SPECTRUM, _LFCC = "librosa's spectral features", "LFCC: Sahidullah et al. 2015"
_MODULATION = "modulation spectrum: Houtgast & Steeneken 1985"
_INF = float("inf")


def _columns() -> Iterator[Column]:
    def column(name: str, low: float, high: float, direction: str, reference: str, unit: str = "1") -> Column:
        return Column(f"voice.{name}", unit, (low, high), reference, direction, EVERY_CHANGE)

    for number in range(N_BANDS):
        if number:  # the first cepstrum's mean is the level
            yield column(f"lfcc{number:02}_mean", -_INF, _INF, "either", _LFCC)
        yield column(f"lfcc{number:02}_std", 0, _INF, "down", _LFCC)
        yield column(f"dlfcc{number:02}_std", 0, _INF, "down", _LFCC)
    yield column("flatness_med", 0, 1, "either", _SPECTRUM)
    yield column("centroid_med_hz", 0, 8000, "either", _SPECTRUM, "Hz")
    yield column("rolloff_med_hz", 0, 8000, "either", _SPECTRUM, "Hz")
    yield column("flux_med", 0, 2, "either", _SPECTRUM)
    yield column("hf_share_db", -_INF, 0, "down", "share of energy above 4 kHz", "dB")
    yield column("bw99_hz", 0, 8000, "down", "99 % of the energy lies below", "Hz")
    yield column("bands_near_corr", -1, 1, "up", "correlation of neighbouring bands' levels")
    yield column("bands_all_corr", -1, 1, "up", "mean correlation of two bands' levels")
    for number in range(len(BAND_GROUPS)):
        yield column(f"fast{number}_share", 0, 1, "either", _MODULATION)
        yield column(f"very_fast{number}_share", 0, 1, "either", _MODULATION)
    yield column("speech_share", 0, 1, "covariate", "frames within 15 dB of the loud ones")
    yield column("valid_share", 0, 1, "covariate", "")


COLUMNS = tuple(_columns())
CUES = tuple(column.name.split(".")[1] for column in COLUMNS if column.direction != "covariate")
"""What :func:`cues` measures of a voice, in order."""


@family("voice", version=2, needs={"sound"}, columns=COLUMNS)
def measure(observation: Observation, track: Track | None) -> dict[str, float]:
    """Columns of the clip's sound, whoever speaks; NaN without sound or with under 0.3 s of speech."""
    values = cues(observation.audio) if observation.audio is not None else {}
    valid = {"valid_share": float(bool(values))}
    return {f"voice.{name}": value for name, value in (values | valid).items()}

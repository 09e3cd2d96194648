"""The meaning of a probability at other base rates than the model's: in counts of 100 clips, and in odds.

A score moves the odds that a clip is fake; where they start is not the model's to know. From one prior to another the
log-odds move by the difference of the priors' log-odds (Bayes' rule).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.special import expit, logit

from ensemble.verdict import at_bound

OTHERS = (0.01, 0.1, 0.5, 0.9)
"""Fractions of FAKE among the reader's clips for which a page explains a score."""
ROUGH = 0.05  # by which counts of clips may be off


@dataclass(frozen=True)
class BaseRate:
    """How many of 100 clips with this score are fake where a fraction ``prior`` of all clips is."""

    prior: float
    probability: float
    bound: str
    """``or more``, ``or fewer`` where the model's bounds hide the rest; else empty."""

    @property
    def of_all(self) -> str:
        """The prior in words, of as many clips as it takes to count the rarer ones.

        >>> BaseRate(0.1, 0.5, "").of_all, BaseRate(0.0025, 0.5, "").of_all, BaseRate(0.999, 0.5, "").of_all
        ('10 of 100', '25 of 10000', '999 of 1000')
        """
        return "{} of {}".format(*in_counts(self.prior))

    @property
    def of_these(self) -> str:
        """How many of 100 such clips are fake.

        >>> BaseRate(0.1, 0.43, "or more").of_these, BaseRate(0.01, 0.001, "").of_these
        ('about 43 or more', 'fewer than 1')
        """
        if 100 * self.probability < 1:
            return "fewer than 1"
        if 100 * self.probability > 99:
            return "more than 99"
        return f"about {100 * self.probability:.0f} {self.bound}".strip()


def in_counts(fraction: float) -> tuple[int, int]:
    """Express a fraction as a count of a total, the smallest total that gives the rarer side within ``ROUGH``.

    These are 100, or 100 times a power of 10.

    >>> in_counts(0.1), in_counts(0.0115), in_counts(1.0)
    ((10, 100), (12, 1000), (100, 100))
    """
    n, rarer = 100, min(fraction, 1 - fraction)
    while abs(round(n * rarer) - n * rarer) > ROUGH * n * rarer:
        n *= 10
    return round(n * fraction), n


def at_prior(probability: float, given: float, wanted: float) -> float:
    """Return P(FAKE) at the prior ``wanted`` for a clip that has ``probability`` at the prior ``given``.

    >>> round(at_prior(0.9, 0.5, 0.1), 6)
    0.5
    """
    return float(expit(logit(probability) - logit(given) + logit(wanted)))


def odds_in_words(probability: float, *, at_bound: bool = False) -> str:
    """Return the odds of the more probable side, to two digits; ``at_bound`` where the model's bound limits them.

    >>> odds_in_words(0.8), odds_in_words(0.2), odds_in_words(0.51), odds_in_words(0.9985)
    ('odds of 4 to 1 for FAKE', 'odds of 4 to 1 for REAL', 'even odds', 'odds of 670 to 1 for FAKE')
    >>> odds_in_words(0.2, at_bound=True)
    'odds of 4 to 1 or more for REAL'
    """
    odds = max(probability, 1 - probability) / max(min(probability, 1 - probability), 1e-9)
    if odds < 1.05:
        return "even odds"
    words = f"{float(f'{odds:.2g}'):.0f}" if odds >= 10 else f"{odds:.2g}"
    return f"odds of {words} to 1 {'or more ' if at_bound else ''}for {'FAKE' if probability > 0.5 else 'REAL'}"


def base_rates(probability: float, manifest: Mapping[str, Any]) -> list[BaseRate]:
    """Return the meaning of a score at each prior of :data:`OTHERS` and at the model's own prior, sorted.

    Parameters
    ----------
    probability
        At the model's target prior.
    manifest
        Of the model: its ``target_prior``, and the bound ``clip`` of its probabilities.
    """
    target = float(manifest["target_prior"])
    bound = _bound(probability, float(manifest.get("clip", 0.0)))
    return [BaseRate(prior, at_prior(probability, target, prior), bound) for prior in sorted({*OTHERS, target})]


def _bound(probability: float, clip: float) -> str:
    if not at_bound(probability, clip):
        return ""
    return "or more" if probability > 0.5 else "or fewer"

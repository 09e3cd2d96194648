"""A series and its events in words: when something stands out, and how large it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from features.evidence import Event, Series
from reports.lines import LOG_ODDS, reach, unbroken

MAX_NAMED_EVENTS = 8
LEAST_ABOVE = 0.05  # log-odds: lower ones are shown as 0.0
LOOK_ALIKE = {"blink": "a lowered gaze can look the same"}
UNITS = {
    "1": "",
    "s": "seconds",
    "deg": "degrees",
    "log-odds": "log-odds, above 0 towards FAKE",
    "L*": "L*, from 0 (black) to 100 (white)",
    "L* difference": "difference in L* (lightness), above 0 where the first is lighter",
    "iod": "inter-ocular distances",
    "iod/s": "inter-ocular distances per second",
    "log10": "powers of ten (log10)",
}
"""Units of a lane in words, where the unit by itself says too little; other packages' families may have others."""


SPOKEN_UNITS = {"L* difference": "L*", "iod": "inter-ocular distances", "log10": "powers of ten"}
"""The same behind a number, in a sentence."""


def unit_in_words(unit: str) -> str:
    """The unit of a lane for a reader who does not know its abbreviation.

    >>> unit_in_words("iod"), unit_in_words("dB")
    ('inter-ocular distances', 'dB')
    """
    return UNITS.get(unit, unit)


def events_in_words(events: Sequence[Event]) -> str:
    """Return how many events of each kind there are, and when.

    >>> events_in_words([Event(1.0, 1.2, "cut"), Event(4.31, 4.5, "cut")])
    'cut (2) at 1.0 and 4.3 s'
    """
    kinds: dict[str, list[float]] = {}
    for event in events:
        kinds.setdefault(event.name, []).append(event.start_s)
    caveats = {kind: f" ({LOOK_ALIKE[kind]})" if kind in LOOK_ALIKE else "" for kind in kinds}
    return "; ".join(f"{kind} ({len(starts)}) {moments(starts)} s{caveats[kind]}" for kind, starts in kinds.items())


def peak(series: Series) -> str:
    """When log-odds are highest and when they are above 0, towards FAKE; empty for other series.

    As in the lane, a value that was measured over a window stands for all of it. What rounds to 0.0 is not above 0.

    >>> peak(Series([0.5, 1.0, 1.5, 2.0], [-1.0, 0.4, 2.1, -0.2], unit="log-odds", title="Network"))
    'highest (+2.1) at 1.5 s; above 0 from 1.0 to 1.5 s'
    """
    if series.unit != LOG_ODDS or not np.isfinite(series.values).any():
        return ""
    top = int(np.nanargmax(series.values))
    above = np.where(series.values >= LEAST_ABOVE, 1.0, np.nan)
    stretches = [reach(series.times_s, a, b, series.window_s) for a, b in unbroken(series.times_s, above)]
    words = [_stretch(start, end) for start, end in stretches]
    when = f"above 0 {_listed(words)} s" if words else "never above 0"
    return f"highest ({short(series.values[top])}) {_when(series, top)}; {when}"


def _when(series: Series, n: int) -> str:
    """Return the moment of a value, or the window over which it was measured."""
    half = series.window_s / 2
    return f"{_stretch(series.times_s[n] - half, series.times_s[n] + half)} s"


def _stretch(start: float, end: float) -> str:
    start = max(start, 0.0)
    return f"from {start:.1f} to {end:.1f}" if f"{start:.1f}" != f"{end:.1f}" else f"at {start:.1f}"


def moments(seconds: Sequence[float]) -> str:
    """Return ``at 1.0, 2.5 and 4.0``; of many, the first and how many more."""
    return f"at {_listed([f'{s:.1f}' for s in seconds])}"


def _listed(words: Sequence[str]) -> str:
    """Join as ``a, b and c``; of many, list the first and count the rest."""
    more = len(words) - MAX_NAMED_EVENTS
    if more > 0:
        return f"{', '.join(words[:MAX_NAMED_EVENTS])} and {more} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def summary(series: Series) -> str:
    """Describe a series for readers who don't see its lane: number of values, usual value and extremes."""
    finite = np.isfinite(series.values)
    unit = "" if series.unit == "1" else f" {SPOKEN_UNITS.get(series.unit, series.unit)}"
    if not finite.any():
        return f"{series.title}: no value."
    v = series.values[finite]
    low, high = int(np.nanargmin(series.values)), int(np.nanargmax(series.values))
    count = f"{len(v)} value{'s' if len(v) > 1 else ''}"
    count += f" over {number(series.window_s)} s{' each' if len(v) > 1 else ''}" if series.window_s else ""
    as_text = short if series.unit == LOG_ODDS else number
    lowest, highest = (f"{as_text(series.values[n])} {_when(series, n)}" for n in (low, high))
    text = f"{series.title}: {count}; median {as_text(float(np.median(v)))}{unit}, lowest {lowest}, highest {highest}."
    more = "; ".join(filter(None, [peak(series), events_in_words(series.events)]))
    return f"{text} {more[0].upper()}{more[1:]}." if more else text


def short(value: float) -> str:
    """A number with its sign and one digit after the point, as log-odds are shown.

    >>> short(-1.26), short(0.02)
    ('−1.3', '0.0')
    """
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= LEAST_ABOVE else "0.0"


def number(value: float) -> str:
    """Three significant digits with a true minus sign; a dash where undefined.

    >>> number(-0.12345), number(1234.5), number(float("nan"))
    ('−0.123', '1230', '–')
    """
    if not math.isfinite(value):
        return "–"
    rounded = float(f"{value:.3g}") + 0.0  # no minus before 0
    return f"{rounded:.10g}".replace("-", "−") if abs(rounded) >= 1e-4 or not rounded else f"{value:.2g}"

"""A series and its events in words: when something stands out, and how large it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from features.evidence import Event, Series
from reports.lines import LOG_ODDS, reach, unbroken

MAX_NAMED_EVENTS = 8
MINUTE_S = 60  # times from here on are shown as minutes and seconds
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
    >>> events_in_words([Event(1.0, 1.2, "cut"), Event(64.31, 64.5, "cut")])
    'cut (2) at 0:01.0 and 1:04.3'
    """
    kinds: dict[str, list[float]] = {}
    for event in events:
        kinds.setdefault(event.name, []).append(event.start_s)
    caveats = {kind: f" ({LOOK_ALIKE[kind]})" if kind in LOOK_ALIKE else "" for kind in kinds}
    return "; ".join(f"{kind} ({len(starts)}) {moments(starts)}{caveats[kind]}" for kind, starts in kinds.items())


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
    when = f"above 0 {stretches_in_words(stretches)}" if stretches else "never above 0"
    return f"highest ({short(series.values[top])}) {_when(series, top)}; {when}"


def _when(series: Series, n: int) -> str:
    """Return the moment of a value, or the window over which it was measured."""
    half = series.window_s / 2
    return stretches_in_words([(series.times_s[n] - half, series.times_s[n] + half)])


def stretches_in_words(stretches: Sequence[tuple[float, float]], digits: int = 1) -> str:
    """Return when stretches of time begin and end; as :func:`clock` if one of them ends after a minute.

    >>> stretches_in_words([(1.5, 1.5), (8.25, 9.8)]), stretches_in_words([(58.5, 61.0)])
    ('at 1.5 and from 8.2 to 9.8 s', 'from 0:58.5 to 1:01.0')
    """
    minutes = _in_minutes([end for _, end in stretches])
    words = []
    for start, end in stretches:
        first, last = (clock(max(s, 0.0), digits, minutes=minutes) for s in (start, end))
        words.append(f"from {first} to {last}" if first != last else f"at {first}")
    return listed(words) + _unit(minutes)


def moments(seconds: Sequence[float]) -> str:
    """Return ``at 1.0, 2.5 and 4.0 s``; of many, the first and how many more.

    >>> moments([1.0, 2.5]), moments([1.0, 62.5])
    ('at 1.0 and 2.5 s', 'at 0:01.0 and 1:02.5')
    """
    minutes = _in_minutes(seconds)
    return f"at {listed([clock(s, minutes=minutes) for s in seconds])}{_unit(minutes)}"


def moment(seconds: float) -> str:
    """Return a time of a clip with its unit.

    >>> moment(8.25), moment(59.97), moment(66.75)
    ('8.2 s', '1:00.0', '1:06.8')
    """
    minutes = _in_minutes([seconds])
    return f"{clock(seconds, minutes=minutes)}{_unit(minutes)}"


def length_in_words(seconds: float) -> str:
    """Return a duration with its unit.

    >>> length_in_words(6.7), length_in_words(59.98), length_in_words(119.7)
    ('6.7 s', '1:00 min', '2:00 min')
    """
    return f"{clock(seconds, 0, minutes=True)} min" if _in_minutes([seconds]) else f"{seconds:.1f} s"


def clock(seconds: float, digits: int = 1, *, minutes: bool) -> str:
    """Return a time of 0 or more without its unit: in seconds, or as minutes and seconds.

    >>> clock(8.3, minutes=False), clock(8.3, minutes=True), clock(119.97, minutes=True), clock(73.4, 0, minutes=True)
    ('8.3', '0:08.3', '2:00.0', '1:13')
    """
    if not minutes:
        return f"{seconds:.{digits}f}"
    whole, rest = divmod(round(float(seconds), digits), MINUTE_S)
    return f"{whole:.0f}:{rest:0{digits + 3 if digits else 2}.{digits}f}"


def _in_minutes(seconds: Sequence[float]) -> bool:
    """Whether the latest of some times is, as it is shown, a minute or more."""
    return round(float(max(seconds, default=0.0)), 1) >= MINUTE_S


def _unit(minutes: bool) -> str:
    return "" if minutes else " s"


def listed(words: Sequence[str]) -> str:
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

"""The timeline of a clip: every series as a lane over one axis of time, drawn as SVG that needs no script.

SVG made here, and not a chart library's canvas: it prints as vectors, scales to any width, takes the page's colours in
light and dark, is read by screen readers, and is complete without script. The script of the page (``static/clip.js``)
moves a cursor and reads values from :meth:`Timeline.as_json`; a player beside the page may drive and follow it, see
there. Horizontal positions are per cent of the duration, so that a page of any width shows the whole clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.evidence import ClipEvidence, Event, Series
from features.spec import describe

LOG_ODDS = "log-odds"
LEAST_LOG_ODDS = 3.0
"""Lanes of log-odds reach at least from -3 to 3: a clip without findings looks calm, not like noise enlarged."""
MAX_POINTS = 1200  # two for each pixel of the widest lane that a page has
MAX_BOXES = 900  # of a person: 15 a second over a minute
MAX_NAMED_EVENTS = 8
DOTS_BELOW = 64  # points; a denser line is drawn without dots
MOST_STEPS = 3  # between the ticks of an axis of values
MARGIN = 8.0  # per cent of a lane's height that are free above and below
BREAK_STEPS, BREAK_S = 2.5, 0.25  # a line breaks where a step is longer than both: so many median steps, and seconds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tick:
    """A labelled value of an axis; ``at`` is per cent of its length, from the left or from the top."""

    at: float
    label: str


@dataclass(frozen=True)
class Band:
    """An event as it is drawn: per cent of the duration where it begins, and how long it is."""

    at: float
    width: float
    name: str


@dataclass(frozen=True)
class Lane:
    """One series as it is drawn."""

    name: str
    """``p0.blink.openness``: who, family, series; unique on a page."""
    family: str
    title: str
    unit: str
    context: str
    """Why it is no evidence; empty where it is."""
    ticks: tuple[Tick, ...]
    zero: float | None
    """Per cent from the top, of log-odds."""
    path: str
    """Of a line, in a square of 1,000 by 100; broken where values are missing."""
    area: str
    """Of log-odds, the same as a surface down to 0: what lies above 0 is filled."""
    dots: tuple[tuple[float, float], ...]
    """Per cent from left and top of the points of a sparse series."""
    window_s: float
    """Seconds over which each value was measured; 0 where it is of a moment."""
    bands: tuple[Band, ...]
    events: str
    """In words the events, and of log-odds when they are highest and above 0."""
    summary: str
    """The lane in a sentence, for those who don't see it."""
    times: list[float]
    values: list[float | None]
    """As drawn; None where the line breaks."""


@dataclass(frozen=True)
class Group:
    """The lanes of one person, or of the sound: first those of the model's evidence, then context."""

    key: str
    title: str
    evidence: tuple[Lane, ...]
    context: tuple[Lane, ...]


@dataclass(frozen=True)
class Timeline:
    """All lanes of a clip; a person without a lane has no group."""

    duration_s: float
    groups: tuple[Group, ...]
    ticks: tuple[Tick, ...]
    people: tuple[dict[str, Any], ...]
    """Of each person ``name``, ``times`` [n] and ``boxes`` [n][4] as fractions of the picture."""

    @property
    def has_lanes(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.groups)

    def as_json(self) -> dict[str, Any]:
        """What the page's script and a player read: seconds, values and their windows, and where people are."""
        lanes = [lane for group in self.groups for lane in (*group.evidence, *group.context)]
        return {
            "duration_s": self.duration_s,
            "lanes": {
                lane.name: {"times": lane.times, "values": lane.values, "window_s": lane.window_s} for lane in lanes
            },
            "people": list(self.people),
        }


def timeline(evidence: ClipEvidence, used: Iterable[str]) -> Timeline:
    """Lay out the series of a clip.

    Parameters
    ----------
    evidence
        Of the clip.
    used
        Families of the model; series of others are context.
    """
    used = set(used)
    duration_s = evidence.duration_s if evidence.duration_s > 0 else 1.0
    owners = [
        (f"p{number}", person_name(number, len(evidence.people)), person.series)
        for number, person in enumerate(evidence.people)
    ]
    if evidence.sound:
        owners.append(("sound", "Sound", evidence.sound))
    scales = _scales(series for _, _, series in owners)
    groups = tuple(
        _group(key, title, series, used=used, scales=scales, duration_s=duration_s) for key, title, series in owners
    )
    groups = tuple(group for group in groups if group.evidence or group.context)
    people = tuple(
        {"name": person_name(number, len(evidence.people)), **_boxes(one.boxes_times_s, one.boxes)}
        for number, one in enumerate(evidence.people)
    )
    return Timeline(duration_s, groups, time_ticks(duration_s), people)


def person_name(number: int, total: int) -> str:
    """How a page calls a tracked person; the first is the main one.

    >>> person_name(0, 1), person_name(0, 2), person_name(1, 2)
    ('The person', 'Person 1', 'Person 2')
    """
    return "The person" if total == 1 else f"Person {number + 1}"


def _group(
    key: str,
    title: str,
    series: Mapping[str, Series],
    *,
    used: set[str],
    scales: Mapping[str, tuple[float, float, float]],
    duration_s: float,
) -> Group:
    lanes = [
        lane(f"{key}.{name}", one, duration_s=duration_s, scale=scales[name], used=used)
        for name, one in sorted(series.items(), key=lambda pair: (pair[1].unit != LOG_ODDS, pair[0]))
        if len(one.times_s)
    ]
    return Group(key, title, tuple(one for one in lanes if not one.context), tuple(one for one in lanes if one.context))


def lane(
    name: str, series: Series, *, duration_s: float, scale: tuple[float, float, float], used: Iterable[str]
) -> Lane:
    """Draw a series.

    Parameters
    ----------
    name
        ``owner.family.series``.
    series
        To draw.
    duration_s
        What the whole width stands for.
    scale
        Lowest and highest value of the lane, and the step of its ticks: :func:`scale_of`.
    used
        Families of the model.
    """
    low, high, step = scale
    family = name.split(".")[1]
    times, values = thinned(series.times_s, series.values)
    x = np.clip(100 * times / duration_s, 0, 100)
    y = MARGIN + (100 - 2 * MARGIN) * (high - values) / (high - low)
    zero = round(MARGIN + (100 - 2 * MARGIN) * high / (high - low), 2) if series.unit == LOG_ODDS else None
    line_x, line_y = widened(x, y, 100 * series.window_s / duration_s)
    return Lane(
        name=name,
        family=family,
        title=series.title,
        unit=series.unit,
        context=_why_context(series, family, set(used)),
        ticks=tuple(
            Tick(round(MARGIN + (100 - 2 * MARGIN) * (high - v) / (high - low), 2), number(v))
            for v in np.arange(low, high + step / 2, step)
        ),
        zero=zero,
        path=_path(line_x, line_y),
        area=_path(line_x, line_y, zero) if zero is not None else "",
        dots=_dots(x, y),
        window_s=series.window_s,
        bands=tuple(_band(one, duration_s) for one in series.events),
        events="; ".join(filter(None, [peak(series), events_in_words(series.events)])),
        summary=_summary(series),
        times=[round(float(t), 3) for t in times],
        values=[_rounded(v) for v in values],
    )


def _why_context(series: Series, family: str, used: set[str]) -> str:
    if not series.evidence:
        return "context"
    return "" if family in used else "context: not used by the model"


def _scales(owners: Iterable[Mapping[str, Series]]) -> dict[str, tuple[float, float, float]]:
    """One scale for a series of all people, so that their lanes can be compared."""
    values: dict[str, list[Series]] = {}
    for series in owners:
        for name, one in series.items():
            values.setdefault(name, []).append(one)
    return {name: scale_of(np.concatenate([one.values for one in of]), of[0].unit) for name, of in values.items()}


def scale_of(values: Floats, unit: str) -> tuple[float, float, float]:
    """Round ends of an axis that holds all values, and the step of its ticks.

    Log-odds are symmetric about 0 and reach at least :data:`LEAST_LOG_ODDS`; quantities that are never negative start
    at 0.

    >>> scale_of(np.array([0.2, 0.9]), "1"), scale_of(np.array([0.4, -4.2]), "log-odds")
    ((0.0, 1.0, 0.5), (-5.0, 5.0, 5.0))
    """
    finite = values[np.isfinite(values)]
    if unit == LOG_ODDS:
        bound = max(LEAST_LOG_ODDS, float(np.ceil(np.abs(finite).max()))) if len(finite) else LEAST_LOG_ODDS
        return -bound, bound, bound
    if not len(finite):
        return 0.0, 1.0, 1.0
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    if low < 0 and float(finite.max()) < 0:
        high = float(finite.max())
    step = nice_step((high - low) / MOST_STEPS or abs(low) or 1.0)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return low, (high if high > low else low + step), step


def nice_step(length: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below ``length``.

    >>> nice_step(0.45), nice_step(3.0), nice_step(5.1)
    (0.5, 5.0, 10.0)
    """
    power = 10.0 ** math.floor(math.log10(length))
    return float(f"{next(m for m in (1, 2, 5, 10) if m * power >= length * (1 - 1e-9)) * power:.6g}")


def time_ticks(duration_s: float, most: int = 7) -> tuple[Tick, ...]:
    """Ticks of the axis of time, at most ``most``, the first at 0.

    >>> [tick.label for tick in time_ticks(6.7)]
    ['0 s', '1', '2', '3', '4', '5', '6']
    """
    if not duration_s > 0:
        return ()
    step = nice_step(duration_s / most)
    seconds = np.arange(0, duration_s + 1e-9, step)
    return tuple(Tick(round(100 * s / duration_s, 3), f"{s:g}" + (" s" if s == 0 else "")) for s in seconds)


def thinned(times: Floats, values: Floats, most: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """A line with at most about ``most`` points that looks the same: of each stretch the least and the largest value.

    Parameters
    ----------
    times, values : ndarray of shape (n,)
        Of a series.
    most
        About how many points are left.

    Returns
    -------
    times, values : ndarray of shape (m,)
        NaN wherever the line must break: where values are missing, or no value was taken for long.
    """
    pieces = [(times[a:b], values[a:b]) for a, b in unbroken(times, values)]
    total = sum(len(t) for t, _ in pieces)
    out_t: list[float] = []
    out_v: list[float] = []
    for number_, (t, v) in enumerate(pieces):
        if number_:
            out_t.append((out_t[-1] + float(t[0])) / 2)
            out_v.append(math.nan)
        keep = np.arange(len(t)) if total <= most else _extremes(v, max(1, round(len(t) / total * most / 2)))
        out_t += t[keep].tolist()
        out_v += v[keep].tolist()
    return np.array(out_t), np.array(out_v)


def unbroken(times: Floats, values: Floats, *, of_time: bool = True) -> list[tuple[int, int]]:
    """Half-open index ranges in which a line does not break; with ``of_time`` it breaks at long steps, too."""
    finite = np.isfinite(values)
    if not len(finite):
        return []
    step = np.diff(times)
    gap = np.zeros(len(step), bool)
    if of_time and len(step):
        gap = step > max(BREAK_STEPS * float(np.median(step)), BREAK_S)
    starts = finite & np.concatenate([[True], ~finite[:-1] | gap])
    ends = finite & np.concatenate([~finite[1:] | gap, [True]])
    return [(int(a), int(b) + 1) for a, b in zip(np.flatnonzero(starts), np.flatnonzero(ends), strict=True)]


def widened(x: Floats, y: Floats, window: float) -> tuple[Floats, Floats]:
    """A line whose ends reach to where their windows end, or halfway to a missing value; unchanged without a window.

    >>> widened(np.array([1.5, 2.5]), np.array([7.0, 8.0]), 3.0)
    (array([0. , 1.5, 2.5, 4. ]), array([7., 7., 8., 8.]))
    """
    if not window:
        return x, y
    out_x: list[float] = []
    out_y: list[float] = []
    for a, b in unbroken(x, y, of_time=False):
        before = x[a] - x[a - 1] if a else math.inf
        after = x[b] - x[b - 1] if b < len(x) else math.inf
        out_x += [x[a] - min(window, before) / 2, *x[a:b], x[b - 1] + min(window, after) / 2, x[b - 1]]
        out_y += [y[a], *y[a:b], y[b - 1], math.nan]
    return np.clip(out_x[:-1], 0, 100), np.array(out_y[:-1])


def _extremes(values: Floats, buckets: int) -> NDArray[np.int64]:
    """Positions of the first and last value, and of the extremes of equal stretches."""
    parts = np.array_split(np.arange(len(values)), min(buckets, len(values)))
    chosen = {0, len(values) - 1}
    for part in parts:
        chosen |= {int(part[np.argmin(values[part])]), int(part[np.argmax(values[part])])}
    return np.array(sorted(chosen))


def _path(x: Floats, y: Floats, base: float | None = None) -> str:
    """A line for each unbroken piece; with ``base``, the surface between the line and that height."""
    words = []
    for a, b in unbroken(x, y, of_time=False):
        line = "L".join(f"{10 * u:.1f} {v:.1f}" for u, v in zip(x[a:b], y[a:b], strict=True))
        surface = "" if base is None else f"V{base:g}H{10 * x[a]:.1f}Z"
        words.append(f"M{line}{surface}")
    return "".join(words)


def _dots(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    """All points of a sparse series; of a dense one those that stand alone, which a line would not show."""
    finite = np.isfinite(y)
    alone = finite & ~np.concatenate([[False], finite[:-1]]) & ~np.concatenate([finite[1:], [False]])
    shown = finite if finite.sum() < DOTS_BELOW else alone
    return tuple((round(float(a), 2), round(float(b), 2)) for a, b in zip(x[shown], y[shown], strict=True))


def _band(event: Event, duration_s: float) -> Band:
    start, end = (min(max(100 * s / duration_s, 0), 100) for s in (event.start_s, event.end_s))
    return Band(round(start, 2), round(end - start, 2), event.name)


def events_in_words(events: Sequence[Event]) -> str:
    """How many of each kind, and when.

    >>> events_in_words([Event(1.0, 1.2, "blink"), Event(4.31, 4.5, "blink")])
    'blink (2) at 1.0 and 4.3 s'
    """
    kinds: dict[str, list[float]] = {}
    for one in events:
        kinds.setdefault(one.name, []).append(one.start_s)
    return "; ".join(f"{kind} ({len(starts)}) {_moments(starts)} s" for kind, starts in kinds.items())


def peak(series: Series) -> str:
    """When log-odds are highest and when they are above 0, towards FAKE; empty for other series.

    >>> peak(Series([0.5, 1.0, 1.5, 2.0], [-1.0, 0.4, 2.1, -0.2], unit="log-odds", title="Network"))
    'highest (2.1) at 1.5 s; above 0 from 1.0 to 1.5 s'
    """
    if series.unit != LOG_ODDS or not np.isfinite(series.values).any():
        return ""
    top = int(np.nanargmax(series.values))
    above = np.where(series.values > 0, 1.0, np.nan)
    stretches = [(series.times_s[a], series.times_s[b - 1]) for a, b in unbroken(series.times_s, above)]
    words = [f"from {a:.1f} to {b:.1f}" if f"{a:.1f}" != f"{b:.1f}" else f"at {a:.1f}" for a, b in stretches]
    when = f"above 0 {_listed(words)} s" if words else "never above 0"
    return f"highest ({number(series.values[top])}) at {series.times_s[top]:.1f} s; {when}"


def _moments(seconds: Sequence[float]) -> str:
    return f"at {_listed([f'{s:.1f}' for s in seconds])}"


def _listed(words: Sequence[str]) -> str:
    """``a, b and c``; of many the first, and how many more there are."""
    more = len(words) - MAX_NAMED_EVENTS
    if more > 0:
        return f"{', '.join(words[:MAX_NAMED_EVENTS])} and {more} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _summary(series: Series) -> str:
    finite = np.isfinite(series.values)
    unit = "" if series.unit == "1" else f" {series.unit}"
    if not finite.any():
        return f"{series.title}: no value."
    t, v = series.times_s[finite], series.values[finite]
    low, high = int(np.argmin(v)), int(np.argmax(v))
    count = f"{len(v)} value{'s' if len(v) > 1 else ''}"
    count += f" over {number(series.window_s)} s{' each' if len(v) > 1 else ''}" if series.window_s else ""
    text = (
        f"{series.title}: {count}; median {number(float(np.median(v)))}{unit}, lowest {number(v[low])} "
        f"at {t[low]:.1f} s, highest {number(v[high])} at {t[high]:.1f} s."
    )
    more = "; ".join(filter(None, [peak(series), events_in_words(series.events)]))
    return f"{text} {more[0].upper()}{more[1:]}." if more else text


def number(value: float) -> str:
    """Three significant digits with a true minus sign; a dash where undefined.

    >>> number(-0.12345), number(1234.5), number(float("nan"))
    ('−0.123', '1230', '–')
    """
    if not math.isfinite(value):
        return "–"
    rounded = float(f"{value:.3g}") + 0.0  # no minus before 0
    return f"{rounded:.10g}".replace("-", "−") if abs(rounded) >= 1e-4 or not rounded else f"{value:.2g}"


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _boxes(times: Floats, boxes: NDArray[np.float32]) -> dict[str, Any]:
    """Evenly thinned; between two of them a player interpolates."""
    keep = np.unique(np.linspace(0, len(times) - 1, min(len(times), MAX_BOXES)).round().astype(int))
    return {
        "times": [round(float(t), 3) for t in times[keep]],
        "boxes": [[round(float(edge), 4) for edge in box] for box in boxes[keep]],
    }


def families_shown(lanes: Iterable[Lane]) -> list[tuple[str, str]]:
    """Family and its description, of those that lanes are of, sorted."""
    return [(name, describe(name)) for name in sorted({one.family for one in lanes})]

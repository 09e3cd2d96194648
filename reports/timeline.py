"""The timeline of a clip: each series is a lane over a common time axis, drawn as SVG that needs no script.

SVG made here, and not a chart library's canvas: it prints as vectors, scales to any width, takes the page's colours in
light and dark, is read by screen readers, and is complete without script. The script of the page (``static/clip.js``)
moves a cursor and reads values from :meth:`ClipTimeline.as_json`; a player beside the page may drive and follow it, see
there. Horizontal positions are per cent of the axis, so that a page of any width shows the whole clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.evidence import ClipEvidence, Event, Series
from reports.lines import LOG_ODDS, Floats, digits_read, dots, nice_step, path, scale_of, thinned, widened
from reports.series_words import MINUTE_S, clock, events_in_words, number, peak, summary

MAX_BOXES = 900  # of a person: 15 a second over a minute
MAX_BLANKS = 100  # a frame narrower than a hundredth of the axis shows nothing
MARGIN = 8.0  # per cent of a lane's height that are free above and below


@dataclass(frozen=True)
class Tick:
    """A labelled value of an axis; ``at`` is its position from the left or the top, in per cent of the length."""

    at: float
    label: str


@dataclass(frozen=True)
class Band:
    """An event as drawn: its start and length in per cent of the duration."""

    at: float
    width: float
    name: str


@dataclass(frozen=True)
class Lane:
    """One series as it is drawn."""

    name: str
    """Person, family and series, as in ``p0.blink.openness``; unique on a page."""
    family: str
    title: str
    unit: str
    context: str
    """Why the series is not evidence; empty where it is."""
    ticks: tuple[Tick, ...]
    zero: float | None
    """Position of 0 in per cent from the top, for log-odds."""
    path: str
    """SVG path of the line, in a box of 1,000 by 100; broken where values are missing."""
    area: str
    """For log-odds, the same path as an area down to 0: the part above 0 is filled."""
    dots: tuple[tuple[float, float], ...]
    """Per cent from left and top of the points of a sparse series."""
    window_s: float
    """Seconds over which each value was measured; 0 for a value of one moment."""
    bands: tuple[Band, ...]
    events: str
    """The events in words and, for log-odds, when they are highest and above 0."""
    summary: str
    """The lane in a sentence, for readers who don't see it."""
    times: list[float]
    values: list[float | None]
    """As drawn; None where the line breaks."""
    digits: int
    """Digits after the point of a value that is read from the lane."""


@dataclass(frozen=True)
class Group:
    """The lanes of one person or of the audio: first those of the model's evidence, then context."""

    key: str
    title: str
    evidence: tuple[Lane, ...]
    context: tuple[Lane, ...]


@dataclass(frozen=True)
class ClipTimeline:
    """All lanes of a clip; a person without a lane has no group."""

    duration_s: float
    """Length of the axis: to the end of the video, or of a series that ends later, as audio may."""
    groups: tuple[Group, ...]
    ticks: tuple[Tick, ...]
    people: tuple[dict[str, Any], ...]
    """For each person ``name``, ``times`` [n] and ``boxes`` [n][4] as fractions of the image."""

    @property
    def has_lanes(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return the data for the page's script and a player: times, values, windows, and the boxes of people."""
        lanes = [lane for group in self.groups for lane in (*group.evidence, *group.context)]
        return {
            "duration_s": self.duration_s,
            "lanes": {
                lane.name: {
                    "times": lane.times,
                    "values": lane.values,
                    "window_s": lane.window_s,
                    "digits": lane.digits,
                    "is_signed": lane.zero is not None,
                }
                for lane in lanes
            },
            "people": list(self.people),
        }


def timeline(evidence: ClipEvidence, used: Iterable[str]) -> ClipTimeline:
    """Lay out the series of a clip.

    Parameters
    ----------
    evidence
        Of the clip.
    used
        Families of the model; series of others are context.
    """
    used = set(used)
    duration_s = _axis_s(evidence)
    owners = [
        (f"p{number}", person_name(number, len(evidence.people)), _from_0(person.series))
        for number, person in enumerate(evidence.people)
    ]
    if evidence.audio:
        owners.append(("sound", "Audio", _from_0(evidence.audio)))
    scales = _scales(series for _, _, series in owners)
    groups = tuple(
        _group(key, title, series, used=used, scales=scales, duration_s=duration_s) for key, title, series in owners
    )
    groups = tuple(group for group in groups if group.evidence or group.context)
    people = tuple(
        {"name": person_name(number, len(evidence.people)), **_boxes(person.boxes_times_s, person.boxes)}
        for number, person in enumerate(evidence.people)
    )
    return ClipTimeline(duration_s, groups, time_ticks(duration_s), people)


def _from_0(series: Mapping[str, Series]) -> dict[str, Series]:
    """Return the series without values and events before the axis: of audio that begins before the video."""
    return {
        name: replace(
            curve,
            times_s=curve.times_s[curve.times_s >= 0],
            values=curve.values[curve.times_s >= 0],
            events=tuple(replace(event, start_s=max(0.0, event.start_s)) for event in curve.events if event.end_s >= 0),
        )
        for name, curve in series.items()
    }


def _axis_s(evidence: ClipEvidence) -> float:
    """Return the length of the axis in seconds; 1 where nothing has a length."""
    owners = [*(person.series for person in evidence.people), evidence.audio]
    series = [curve for of in owners for curve in of.values() if len(curve.times_s)]
    ends = [float(curve.times_s[-1]) + curve.window_s / 2 for curve in series]
    return max([evidence.duration_s if evidence.duration_s > 0 else 0.0, *ends]) or 1.0


def blanks(n_frames: int, axis_s: float, video_s: float) -> int:
    """Return how many frames fit behind the last one of a filmstrip, where the axis continues without video.

    >>> blanks(12, 15.0, 10.0), blanks(12, 10.1, 10.0)
    (6, 0)
    """
    return min(MAX_BLANKS, round(n_frames * (axis_s / video_s - 1))) if video_s > 0 else 0


def person_name(number: int, total: int) -> str:
    """Return the name of a tracked person on a page; the first is the main one.

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
        lane(f"{key}.{name}", curve, duration_s=duration_s, scale=scales[name], used=used)
        for name, curve in sorted(series.items(), key=lambda pair: (pair[1].unit != LOG_ODDS, pair[0]))
        if len(curve.times_s)
    ]
    return Group(
        key, title, tuple(lane for lane in lanes if not lane.context), tuple(lane for lane in lanes if lane.context)
    )


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
            for v in step * np.arange(round(low / step), round(high / step) + 1)  # exactly 0 at 0
        ),
        zero=zero,
        path=path(line_x, line_y),
        area=path(line_x, line_y, zero) if zero is not None else "",
        dots=dots(x, y),
        window_s=series.window_s,
        bands=tuple(_band(event, duration_s) for event in series.events),
        events="; ".join(filter(None, [peak(series), events_in_words(series.events)])),
        summary=summary(series),
        times=[round(float(t), 3) for t in times],
        values=[_rounded(v) for v in values],
        digits=digits_read(step, series.unit),
    )


def _why_context(series: Series, family: str, used: set[str]) -> str:
    if not series.evidence:
        return "context"
    return "" if family in used else "context: not read by the model"


def _scales(owners: Iterable[Mapping[str, Series]]) -> dict[str, tuple[float, float, float]]:
    """One scale for a series of all people, so that their lanes can be compared."""
    values: dict[str, list[Series]] = {}
    for series in owners:
        for name, curve in series.items():
            values.setdefault(name, []).append(curve)
    return {name: scale_of(np.concatenate([curve.values for curve in of]), of[0].unit) for name, of in values.items()}


def time_ticks(duration_s: float) -> tuple[Tick, ...]:
    """Ticks of the axis of time, the first at 0, at most seven after it.

    >>> [tick.label for tick in time_ticks(6.7)]
    ['0 s', '1', '2', '3', '4', '5', '6']
    >>> [tick.label for tick in time_ticks(73.0)]
    ['0:00', '0:20', '0:40', '1:00']
    """
    if not duration_s > 0:
        return ()
    minutes = duration_s >= MINUTE_S
    step = _round_minutes(duration_s / 7) if minutes else nice_step(duration_s / 7)
    seconds = np.arange(0, duration_s + 1e-9, step)
    labels = [clock(s, 0, minutes=True) if minutes else f"{s:g}" + (" s" if s == 0 else "") for s in seconds]
    return tuple(Tick(round(100 * s / duration_s, 3), label) for s, label in zip(seconds, labels, strict=True))


def _round_minutes(seconds: float) -> float:
    """Return the smallest step that divides minutes, or a round number of them, that is not below ``seconds``."""
    return next((step for step in (10.0, 20.0, 30.0) if step >= seconds), MINUTE_S * nice_step(seconds / MINUTE_S))


def _band(event: Event, duration_s: float) -> Band:
    start, end = (min(max(100 * s / duration_s, 0), 100) for s in (event.start_s, event.end_s))
    return Band(round(start, 2), round(end - start, 2), event.name)


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _boxes(times: Floats, boxes: NDArray[np.float32]) -> dict[str, Any]:
    """Evenly thinned; the page's script shows the nearest."""
    keep = np.unique(np.linspace(0, len(times) - 1, min(len(times), MAX_BOXES)).round().astype(int))
    return {
        "times": [round(float(t), 3) for t in times[keep]],
        "boxes": [[round(float(edge), 4) for edge in box] for box in boxes[keep]],
    }

"""Figures of the report, embedded in the page: SVG in a data URI, text as outlines.

Colours are Okabe & Ito's, distinguishable with every kind of colour vision; lines also differ by dash.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensemble.arrays import Array, Bool, Int
from ensemble.metrics import Score, auc, with_intervals

REAL_COLOUR, FAKE_COLOUR, REAL_LIGHT, INK, SOFT = "#0072B2", "#D55E00", "#bfdcec", "#1f2933", "#7b8794"
MAIN_COLOUR = "#0072B2"
LINES = (
    ("#E69F00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#56B4E9", (0, (5, 1))),
    ("#D55E00", (0, (3, 1, 1, 1, 1, 1))),
    (INK, (0, (1, 2))),
    ("#009E73", (0, (1, 1))),
)  # of the learners beside the stack
SIZE_IN = (4.6, 4.2)
WIDE_IN = (9.4, 2.8)
BAR_HEIGHT_IN = 0.34
MAX_BINS, MIN_BIN_CLIPS = 10, 15
N_RESAMPLES = 300  # for the bars of the reliability diagram
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "deepfake",  # equal figures give equal bytes
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Chart:
    """An image for ``<img src alt>`` and the sentence below it."""

    src: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Bins:
    """Reliability bins: mean prediction, fraction of FAKE and its interval over groups, clips in each."""

    mean_p: Array
    rate: Array
    low: Array
    high: Array
    count: Int


def reliability_bins(y: Int, p: Array, group: Int) -> Bins:
    """Bins of about equal numbers of clips, from :data:`MIN_BIN_CLIPS` clips up, at most :data:`MAX_BINS`.

    Parameters
    ----------
    y, group : ndarray of shape (n,)
        1 for FAKE; group counted from 0.
    p : ndarray of shape (n,)
        P(FAKE).
    """
    n_bins = int(np.clip(len(p) // MIN_BIN_CLIPS, 2, MAX_BINS))
    bins = [rows for rows in np.array_split(np.argsort(p, kind="stable"), n_bins) if len(rows)]
    inside = [np.isin(np.arange(len(p)), rows) for rows in bins]

    def fraction(rows: Bool) -> Callable[[Array], float]:
        return lambda w: float(np.average(y[rows], weights=w[rows])) if w[rows].any() else float("nan")

    scores = with_intervals(
        {str(number): fraction(rows) for number, rows in enumerate(inside)}, group, seed=0, n_resamples=N_RESAMPLES
    )
    rates = [scores[str(number)] for number in range(len(bins))]
    return Bins(
        mean_p=np.array([p[rows].mean() for rows in bins]),
        rate=np.array([rate.value for rate in rates]),
        low=np.array([rate.low for rate in rates]),
        high=np.array([rate.high for rate in rates]),
        count=np.array([len(rows) for rows in bins], dtype=np.int64),
    )


@mpl.rc_context(STYLE)
def reliability(bins: Bins) -> Chart:
    """Predicted probability against the fraction that was FAKE."""
    figure, axes = _figure(*SIZE_IN)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), label="perfectly calibrated")
    errors = np.abs(np.stack([bins.rate - bins.low, bins.high - bins.rate]))
    axes.errorbar(
        bins.mean_p,
        bins.rate,
        yerr=np.nan_to_num(errors),
        color=REAL_COLOUR,
        marker="o",
        markersize=5,
        linewidth=1.2,
        elinewidth=1,
        capsize=3,
        label="stack, out of fold",
    )
    _unit_square(axes, "mean predicted P(FAKE)", "fraction that was FAKE")
    axes.legend(loc="upper left")
    worst = int(np.argmax(np.abs(bins.rate - bins.mean_p)))
    return Chart(
        _svg(figure),
        f"Reliability diagram with {len(bins.count)} bins; the largest gap is in the bin predicted "
        f"{bins.mean_p[worst]:.2f}, of which {bins.rate[worst]:.2f} were FAKE.",
        f"Reliability. Each point is a bin of about {int(np.median(bins.count))} clips; bars are 95 % intervals over "
        "groups. Points below the diagonal: P(FAKE) is too high.",
    )


@mpl.rc_context(STYLE)
def roc(y: Int, curves: Mapping[str, Array]) -> Chart:
    """Receiver operating characteristic of every learner's P(FAKE) [n]; the last of ``curves`` is the thickest line."""
    from sklearn.metrics import roc_curve

    figure, axes = _figure(*SIZE_IN)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    areas = {name: auc(y, p) for name, p in curves.items()}
    *others, main = curves
    for number, name in enumerate(others):
        colour, dash = LINES[number % len(LINES)]
        false_alarm, hit, _ = roc_curve(y, curves[name])
        axes.plot(false_alarm, hit, color=colour, linestyle=dash, linewidth=1.2, label=f"{name}  {areas[name]:.3f}")
    false_alarm, hit, _ = roc_curve(y, curves[main])
    axes.plot(false_alarm, hit, color=MAIN_COLOUR, linewidth=2.2, label=f"{main}  {areas[main]:.3f}")
    _unit_square(axes, "false positive rate (REAL scored as FAKE)", "true positive rate")
    axes.legend(loc="lower right", title="AUC", alignment="left")
    text = ", ".join(f"{name} {area:.3f}" for name, area in areas.items())
    return Chart(
        _svg(figure),
        f"ROC curves; area under the curve: {text}.",
        "ROC, out of fold: true positive rate at each false positive rate. The diagonal is chance.",
    )


@mpl.rc_context(STYLE)
def score_distribution(y: Int, p: Array) -> Chart:
    """Histogram of P(FAKE) ``p`` [n] for each class of ``y`` [n]."""
    figure, axes = _figure(*WIDE_IN)
    edges = np.linspace(0, 1, 21)
    looks = ((0, "REAL", REAL_COLOUR, REAL_LIGHT, ""), (1, "FAKE", FAKE_COLOUR, "none", "////"))
    for label, name, colour, inside, hatch in looks:
        values = p[y == label]
        fraction = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(
            fraction,
            edges,
            fill=True,
            facecolor=inside,
            edgecolor=colour,
            hatch=hatch,
            linewidth=1.4,
            label=f"{name} ({len(values)})",
        )
    axes.set(xlabel="P(FAKE), out of fold", ylabel="fraction of the class", xlim=(0, 1))
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.12), ncols=2)
    medians = {name: float(np.median(p[y == label])) for label, name in ((0, "REAL"), (1, "FAKE"))}
    return Chart(
        _svg(figure),
        f"Histogram of scores; the median REAL clip has {medians['REAL']:.2f}, the median FAKE clip "
        f"{medians['FAKE']:.2f}.",
        "Scores of REAL and FAKE clips. The less they overlap, the better the two are separated.",
    )


@mpl.rc_context(STYLE)
def family_bars(values: Mapping[str, Score], *, label: str, caption: str) -> Chart:
    """Horizontal bars of a value for each family, the largest on top, with intervals where they are finite.

    Parameters
    ----------
    values
        Family to score.
    label, caption
        Of the axis, and the sentence below the figure.
    """
    ordered = sorted(values.items(), key=lambda item: item[1].value)
    numbers = np.array([(score.value, score.low, score.high) for _, score in ordered], dtype=np.float64)
    figure, axes = _figure(WIDE_IN[0], 0.8 + BAR_HEIGHT_IN * len(ordered))
    colours = [REAL_COLOUR if value >= 0 else SOFT for value in numbers[:, 0]]
    axes.barh([name for name, _ in ordered], numbers[:, 0], color=colours, height=0.62, alpha=0.85)
    known = np.isfinite(numbers).all(axis=1)
    at = np.flatnonzero(known)
    axes.errorbar(
        numbers[at, 0],
        at,
        xerr=np.abs(np.stack([numbers[at, 0] - numbers[at, 1], numbers[at, 2] - numbers[at, 0]])),
        fmt="none",
        ecolor=INK,
        elinewidth=1.1,
        capsize=3,
    )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(label)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.margins(y=0.02)
    text = "; ".join(f"{name} {score.value:+.3f}" for name, score in reversed(ordered))
    return Chart(_svg(figure), f"Bars of {label}: {text}.", caption)


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure((width_in, height_in), layout="constrained")
    return figure, figure.subplots()


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(visible=True)
    axes.set_axisbelow(True)


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()

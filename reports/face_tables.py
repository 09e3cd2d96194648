"""Tables of docs/results.md from the scores that `deepcue face-scores` measured."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.results_page import ResultTable, write_results

PROTOCOL = "unseen manipulations and identities"
NETWORK_NAMES = {"fold": "RGB network", "residual_fold": "residual network"}
"""Name of a phase of the training, without the number of the fold, to what the page calls its network."""
RE_ENCODED = "half size, CRF 32"
REAL_SOURCES_SHOWN = 10  # clips a source must have to be a row

Scores = Mapping[str, Mapping[str, Any]]


def write_tables(folder: Path, scores: Mapping[str, Scores], *, command: str, data: str, version: str) -> list[Path]:
    """Write the tables of the networks' scores; the files.

    Parameters
    ----------
    folder
        Of the JSON files of the page of results.
    scores
        Name of a network to what :func:`training.faces.fold_scores.scores_of_folds` gave for it; of the last one, which
        is the mean where there are several, kinds and sources are shown.
    command, data, version
        What measured them, on what, and the release.
    """
    name, last = list(scores.items())[-1]
    scored = "mean of the face networks" if len(scores) > 1 else NETWORK_NAMES.get(name, f"face network {name}")
    clips = last["original"]["clips"]
    common = {
        "data": data,
        "n_clips": clips["all"]["n"],
        "n_groups": clips["n_groups"],
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "version": version,
    }
    tables = {
        "face_networks": _networks(scores, common),
        "kinds": _kinds(last, scored, common),
        "real_sources": _real_sources(clips, scored, common),
    }
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, table in tables.items():
        files.append(folder / f"{name}.json")
        write_results(table, files[-1])
    return files


def _networks(scores: Mapping[str, Scores], common: Mapping[str, Any]) -> ResultTable:
    rows = []
    last = list(scores)[-1]
    for network, conditions in scores.items():
        for condition, subsets in conditions.items():
            for subset, measured in subsets.items():
                shown = network == last or (condition, subset) == ("original", "clips")
                if shown and (overall := measured.get("all")):
                    ranked, n_groups = measured["groups_ranked_correctly"]
                    rows.append(
                        [
                            NETWORK_NAMES.get(network, network),
                            f"{condition}: {subset}",
                            str(overall["n"]),
                            overall["auc_interval"],
                            overall["log_loss_oracle"],
                            f"{ranked:.0f} of {n_groups}",
                            f"{overall['confident_false_positives']:.1%}",
                        ]
                    )
    columns = ["network", "clips", "n", "AUC", "log loss after oracle temperature scaling"]
    return ResultTable(
        title="Face networks, out of fold",
        protocol=f"{PROTOCOL}; re-encoded",
        columns=[*columns, "groups ranked correctly", "REAL with P > 0.9"],
        digits=[0, 0, 3, 3, 0, 0],
        rows=rows,
        notes=[
            "Synthetic speech over a real video counts as REAL here: these networks see only images.",
            "One view of each crop; the columns of a clip are of several views.",
        ],
        **common,
    )


def _kinds(last: Scores, scored: str, common: Mapping[str, Any]) -> ResultTable:
    original, again = last["original"], last.get(RE_ENCODED, {})
    rows = [
        [
            f"{kind}, {subset}",
            str(score["n"]),
            score["auc"],
            score.get("own"),
            again.get(subset, {}).get("kinds", {}).get(kind, {}).get("auc"),
        ]
        for subset in ("clips", "pictures")
        for kind, score in original.get(subset, {}).get("kinds", {}).items()
    ]
    return ResultTable(
        title=f"By kind of manipulation, {scored}",
        protocol=f"{PROTOCOL}; re-encoded",
        columns=["kind", "FAKE", "AUC against all REAL", "against REAL of the same groups", f"{RE_ENCODED}: all REAL"],
        digits=[0, 3, 3, 3],
        rows=rows,
        notes=[],
        **common,
    )


def _real_sources(clips: Mapping[str, Any], scored: str, common: Mapping[str, Any]) -> ResultTable:
    shown = {name: counts for name, counts in clips["false_positives"].items() if counts[0] >= REAL_SOURCES_SHOWN}
    rows = [
        [name, str(n), f"{half:.0%}", f"{confident:.0%}"]
        for name, (n, half, confident) in sorted(shown.items(), key=lambda item: -item[1][1])
    ]
    return ResultTable(
        title=f"False positives by source of REAL clips, {scored}",
        protocol=PROTOCOL,
        columns=["source", "clips", "P > 0.5", "P > 0.9"],
        digits=[0, 0, 0],
        rows=rows,
        notes=[f"Sources of {REAL_SOURCES_SHOWN} clips and more; probabilities of the bare logits."],
        **common,
    )

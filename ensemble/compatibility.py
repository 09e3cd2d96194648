"""Refuse a table, or measurements, whose cues are not those that a model was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ensemble.training_set import Layout
from features import discovery
from features.errors import ModelError
from features.networks.weights import use_weights, weights_digest, weights_file, weights_variable
from features.table import IMPORTED

logger = logging.getLogger(__name__)


def check_layout(given: Layout, wanted: Layout) -> None:
    """Refuse a table (``given``) whose families, weights or columns differ from the model's (``wanted``).

    Weights that either of the two does not state are assumed to be the same. A different analysed duration is accepted
    and logged as a warning.

    Raises
    ------
    ModelError
        What differs, in one sentence.
    """
    lacking = sorted(wanted.families.keys() - given.families.keys())
    if lacking:
        raise ModelError(
            f"the table lacks the families {', '.join(lacking)} that the model was trained on; extract them too"
        )
    other = {
        name: (given.families[name], version)
        for name, version in wanted.families.items()
        if given.families[name] != version
    }
    if other:
        pairs = ", ".join(f"{name} {a} in the table, {b} in the model" for name, (a, b) in sorted(other.items()))
        raise ModelError(f"family versions differ ({pairs}); extract the table again or train the model again")
    _check_weights(given, wanted)
    gone = [name for name in wanted.columns if name not in set(given.columns)]
    if gone:
        raise ModelError(
            f"the table lacks {len(gone)} of the model's columns, among them {gone[0]}; extract the table again"
        )
    if None not in (given.max_seconds, wanted.max_seconds) and given.max_seconds != wanted.max_seconds:
        logger.warning(
            "the table is of the first %g s of each clip, the model was trained on %g s; some cues depend on that",
            given.max_seconds,
            wanted.max_seconds,
        )


def _check_weights(given: Layout, wanted: Layout) -> None:
    for name in sorted(wanted.weights.keys() & given.weights.keys() & wanted.families.keys()):
        mine, other = wanted.weights[name], given.weights[name]
        if mine != other:
            raise ModelError(
                f"the weights of {name} differ (SHA-256 {other[:12]}... in the table, {mine[:12]}... in the model); "
                f"extract the table again with {weights_variable()} set to the folder of the model's weights, or unset "
                "where they are the shipped ones, or train the model again"
            )


def check_families(layout: Layout, where: str, weights: Mapping[str, Path] | None = None) -> None:
    """Refuse, before hours of measuring, a model whose cues would not be measured as those of its training table.

    Parameters
    ----------
    layout
        Layout of the model.
    where
        Name of the model in messages.
    weights
        Family to weights file; replaces the weights in use.

    Raises
    ------
    ModelError
        A family is unknown, has another version, would be measured with other weights, or was imported.
    """
    if IMPORTED in layout.families:
        raise ModelError(
            f"{where}: its cues were measured elsewhere (`deepcue import-csv`) and can't be measured here; give a "
            "table of them in place of clips"
        )
    known = {family.name: family.version for family in discovery.families()}
    for name, version in sorted(layout.families.items()):
        if why := discovery.fault(name):
            raise ModelError(f"{where}: needs the cue family {name}; {why}")
        if name not in known:
            raise ModelError(
                f"{where}: needs the cue family {name}, which no package that is installed here defines; install the "
                "package that defines it, or train the model again"
            )
        if known[name] != version:
            remedy = "extract its table and train it again" if known[name] > version else "update deepcue"
            raise ModelError(
                f"{where}: was trained on {name} version {version}, this version measures {known[name]}; {remedy}"
            )
    with use_weights(weights or {}):
        files = {name: weights_file(name) for name in sorted(layout.weights.keys() & layout.families.keys())}
    for name, file in files.items():
        if file.is_file() and (in_use := weights_digest(file)) != layout.weights[name]:
            raise ModelError(
                f"{where}: was trained on {name} measured with other weights (SHA-256 {layout.weights[name][:12]}...) "
                f"than those in use ({file}, {in_use[:12]}...); set {weights_variable()} to the folder that holds the "
                "model's weights, or unset it where they are the shipped ones, or train the model again"
            )


def warn_of_other_versions(layout: Layout, name: str) -> None:
    """Warn where the families of a table have other versions than are measured now: its model can measure no clip."""
    known = {family.name: family.version for family in discovery.families()}
    other = [
        f"{family} {version}, now {known[family]}"
        for family, version in sorted(layout.families.items())
        if known.get(family, version) != version
    ]
    if other:
        logger.warning(
            "%s: was measured by another version (%s); a model trained on it is refused for clips: extract it again",
            name,
            ", ".join(other),
        )

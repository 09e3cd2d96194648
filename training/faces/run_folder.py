"""The folder of a training of face networks: its data and settings, how its phases were trained, which are finished.

``run.json`` holds the digest of the data and settings, and for each phase that was started its steps and the digest of
the weights that it started from.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ensemble.outputs import write_text
from features.checksums import sha256_of
from features.errors import InputError, ModelError
from training.faces.data import FaceTraining
from training.faces.trainer import Phase, checkpoint_file, scores_file, start_file, weights_file

logger = logging.getLogger(__name__)

FILE = "run.json"


def check(settings: FaceTraining, identity: str) -> None:
    """Refuse the folder of another run: networks, folds and clips of two runs must not be mixed.

    Raises
    ------
    InputError
        The folder has an identity different from ``identity``, or its ``run.json`` is damaged.
    """
    if not settings.resume:
        return
    run = _read(settings)
    if run and run.get("identity") != identity:
        raise InputError(
            f"{settings.out} holds a training on other data, or with another seed or --leave-out; give the same, "
            "another folder (--out), or start again (--fresh)"
        )


def claim(settings: FaceTraining, identity: str, phases: Sequence[Phase]) -> None:
    """Mark the folder as belonging to this run; without ``settings.resume``, delete its files of the ``phases``.

    Other phases of a run on other data stay, and later runs refuse to resume them. If a phase starts from weights of
    unknown data, which may have seen held-out clips, a warning is logged.
    """
    begun = _begun(settings, identity)
    known = {*begun, *(phase.name for phase in phases)}
    for start in sorted({phase.start for phase in phases if phase.start} - known):
        logger.warning(
            "%s does not say on which data and people %s was trained, from which other phases start: its weights may "
            "have seen held-out clips; train it here as well (--phases %s,...)",
            settings.out / FILE,
            start,
            start,
        )
    if not settings.resume:
        for phase in phases:
            begun.pop(phase.name, None)
            for old in (weights_file, scores_file, checkpoint_file):
                old(settings, phase).unlink(missing_ok=True)
    _write(settings, {"identity": identity, "phases": begun})


def _begun(settings: FaceTraining, identity: str) -> dict[str, Any]:
    """Return the phases that were started in the folder with this data and these settings."""
    try:
        run = _read(settings)
    except InputError:
        return {}
    return dict(run.get("phases", {})) if run.get("identity") == identity else {}


def begin(settings: FaceTraining, phase: Phase, steps: int) -> None:
    """Record how a phase is trained, before its first step."""
    run = _read(settings)
    run["phases"][phase.name] = {"steps": steps, "start": start_digest(settings, phase)}
    _write(settings, run)


def has_weights(settings: FaceTraining, phase: Phase, steps: int | None) -> bool:
    """Return True when a resumed run can skip a phase: its weights are complete and were trained alike.

    Parameters
    ----------
    steps
        Required number of steps; None: any.

    Raises
    ------
    InputError
        The weights or the checkpoint of the phase have other steps, started from other weights, or have no record of
        how they were trained.
    """
    weights, checkpoint = weights_file(settings, phase), checkpoint_file(settings, phase)
    kept = next((file for file in (weights, checkpoint) if file.exists()), None)
    if not settings.resume or kept is None:
        return False
    _check(settings, phase, steps, kept)
    if kept == checkpoint:
        return False
    try:
        _read_weights(weights, phase)
    except ModelError as error:
        logger.warning("%s; the phase is trained again", error)
        return False
    return True


def has_scores(settings: FaceTraining, phase: Phase) -> bool:
    """Return True when the scores of a phase exist and are complete."""
    try:
        return isinstance(json.loads(scores_file(settings, phase).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def n_steps(settings: FaceTraining, phase: Phase) -> int:
    """Return the number of steps of a phase that was started."""
    return int(_read(settings)["phases"][phase.name]["steps"])


def start_digest(settings: FaceTraining, phase: Phase) -> str:
    """Return the SHA-256 of the weights that a phase starts from; empty for ImageNet or a missing file."""
    file = start_file(settings, phase)
    return sha256_of(file) if file is not None and file.exists() else ""


def _check(settings: FaceTraining, phase: Phase, steps: int | None, kept: Path) -> None:
    """Refuse weights or a checkpoint of a phase that were trained differently from this run."""
    ways = f"delete {kept.name} to train the phase again, leave it out (--phases), or start again (--fresh)"
    trained = _read(settings).get("phases", {}).get(phase.name)
    if trained is None:
        raise InputError(f"{kept} is there, but {FILE} beside it does not say how it was trained; {ways}")
    if steps is not None and steps != trained["steps"]:
        raise InputError(f"{kept} has {trained['steps']} steps, not {steps}; give --steps {trained['steps']}, {ways}")
    start = start_file(settings, phase)
    to_come = bool(phase.start) and start is not None and not start.exists()  # it may be trained to the same weights
    if not to_come and start_digest(settings, phase) != trained["start"]:
        raise InputError(f"{kept} started from weights other than {start or 'those of ImageNet'}; {ways}")


def _read_weights(file: Path, phase: Phase) -> None:
    """Raise ``ModelError`` unless the file holds complete weights of the phase."""
    from features.networks.efficientnet_lite import Detector
    from features.networks.weights import unusable

    if (version := Detector(file).metadata.version) != phase.version:
        raise unusable(file, f"they have version {version}, not {phase.version}")


def _read(settings: FaceTraining) -> dict[str, Any]:
    """Return the content of ``run.json``; empty if the file is missing."""
    file = settings.out / FILE
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error
    if not isinstance(run, dict) or not isinstance(run.get("phases", {}), dict):
        raise _damaged(file, "it has another content")
    return run


def _damaged(file: Path, why: object) -> InputError:
    return InputError(
        f"{file} does not say which training the folder belongs to ({why}); give another folder (--out), or start "
        "again (--fresh)"
    )


def _write(settings: FaceTraining, run: dict[str, Any]) -> None:
    write_text(settings.out / FILE, json.dumps(run, indent=1) + "\n")

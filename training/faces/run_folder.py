"""The folder of a training of face networks: whose it is, how its phases were trained, and which of them are done.

``run.json`` holds the digest of the data and settings, and of each phase that was begun its steps and the digest of
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
    """Refuse to go on in the folder of another run: networks, folds and clips of two may not be mixed.

    Raises
    ------
    InputError
        It is of other data or settings than ``identity``, or its ``run.json`` is damaged.
    """
    if not settings.resume:
        return
    found = _read(settings)
    if found and found.get("identity") != identity:
        raise InputError(
            f"{settings.out} holds a training on other data, or with another seed or --leave-out; give the same, "
            "another folder (--out), or start again (--fresh)"
        )


def claim(settings: FaceTraining, identity: str, phases: Sequence[Phase]) -> None:
    """Make the folder that of this run; without ``settings.resume``, what it holds of the ``phases`` is deleted.

    Phases of a run on other data that are not among these stay, and later runs refuse to go on with them. Where one of
    these starts from such weights, which may have seen what is held out, a warning says so.
    """
    begun = _begun(settings, identity)
    known = {*begun, *(phase.name for phase in phases)}
    for start in sorted({phase.start for phase in phases if phase.start} - known):
        logger.warning(
            "%s does not say on which data and people %s was trained, which other phases go on from: they may have "
            "seen what is held out; train it here as well (--phases %s,...)",
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
    """Phases of this data and these settings that were begun in the folder."""
    try:
        found = _read(settings)
    except InputError:
        return {}
    return dict(found.get("phases", {})) if found.get("identity") == identity else {}


def begin(settings: FaceTraining, phase: Phase, steps: int) -> None:
    """Keep how a phase is trained, before its first step."""
    run = _read(settings)
    run["phases"][phase.name] = {"steps": steps, "start": start_digest(settings, phase)}
    _write(settings, run)


def has_weights(settings: FaceTraining, phase: Phase, steps: int | None) -> bool:
    """True when a resumed run need not train a phase: its weights are there, whole, and trained as it would be.

    Parameters
    ----------
    steps
        That the phase is to have; None: any.

    Raises
    ------
    InputError
        There are weights or a checkpoint of the phase, but with other steps, from other weights, or nothing says how
        they were trained.
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
    """True when the scores of a phase are there, whole."""
    try:
        return isinstance(json.loads(scores_file(settings, phase).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def n_steps(settings: FaceTraining, phase: Phase) -> int:
    """Steps of a phase that was begun."""
    return int(_read(settings)["phases"][phase.name]["steps"])


def start_digest(settings: FaceTraining, phase: Phase) -> str:
    """SHA-256 of the weights that a phase goes on from; empty for those of ImageNet, and where they are missing."""
    file = start_file(settings, phase)
    return sha256_of(file) if file is not None and file.exists() else ""


def _check(settings: FaceTraining, phase: Phase, steps: int | None, kept: Path) -> None:
    """Refuse weights or a checkpoint of a phase that were not trained as this run would."""
    ways = f"delete {kept.name} to train the phase again, leave it out (--phases), or start again (--fresh)"
    trained = _read(settings).get("phases", {}).get(phase.name)
    if trained is None:
        raise InputError(f"{kept} is there, but {FILE} beside it does not say how it was trained; {ways}")
    if steps is not None and steps != trained["steps"]:
        raise InputError(f"{kept} is of {trained['steps']} steps, not {steps}; give --steps {trained['steps']}, {ways}")
    start = start_file(settings, phase)
    to_come = bool(phase.start) and start is not None and not start.exists()  # it may be trained to the same weights
    if not to_come and start_digest(settings, phase) != trained["start"]:
        raise InputError(f"{kept} went on from other weights than {start or 'those of ImageNet'}; {ways}")


def _read_weights(file: Path, phase: Phase) -> None:
    """Raise ``ModelError`` unless the file holds whole weights of the phase."""
    from features.networks.efficientnet_lite import Detector
    from features.networks.weights import unusable

    if (version := Detector(file).metadata.version) != phase.version:
        raise unusable(file, f"they are of version {version}, not {phase.version}")


def _read(settings: FaceTraining) -> dict[str, Any]:
    """What ``run.json`` holds; empty where there is none."""
    file = settings.out / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error
    if not isinstance(found, dict) or not isinstance(found.get("phases", {}), dict):
        raise _damaged(file, "something else is in it")
    return found


def _damaged(file: Path, why: object) -> InputError:
    return InputError(
        f"{file} does not say which training the folder is of ({why}); give another folder (--out), or start again "
        "(--fresh)"
    )


def _write(settings: FaceTraining, run: dict[str, Any]) -> None:
    write_text(settings.out / FILE, json.dumps(run, indent=1) + "\n")

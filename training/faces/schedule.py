"""The phases of the face networks' training, and the run through them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from ensemble.outputs import write_text
from features.errors import InputError
from training import folds
from training.checkpoints import read_checkpoint
from training.faces import run_folder
from training.faces.batches import Mix
from training.faces.data import FaceData, FaceTraining
from training.faces.trainer import Phase, Trainer, checkpoint_file, scores_file, seconds_per_step
from training.progress import Progress, no_progress

logger = logging.getLogger(__name__)

LABELLED_STILLS = Mix(stills=12, pseudo_fakes=4, clips=0)
UNLABELLED = Mix(stills=5, pseudo_fakes=8, clips=0, generated=3)
FINE = Mix(stills=3, pseudo_fakes=3, clips=9, generated=1)
MINUTES = 120.0


def _on_clips(start: str, prefix: str, share: float, representation: str) -> list[Phase]:
    """Return the phases that fine-tune one network on frames of clips: without each fold, then on all."""
    left_out: list[int | None] = [*range(folds.N_FOLDS), None]
    return [
        Phase(
            f"{prefix}{'final' if fold is None else f'fold{fold}'}",
            share,
            rate=4e-4,
            mix=FINE,
            left_out=fold,
            input_representation=representation,
            start=start,
        )
        for fold in left_out
    ]


PHASES = (
    Phase("base", 0.22, 1e-3, UNLABELLED, start=""),
    *_on_clips("base", "", 0.07, "rgb"),
    Phase("residual", 0.16, 1e-3, UNLABELLED, input_representation="residual"),
    *_on_clips("residual", "residual_", 0.04, "residual"),
    Phase("labels", 0.18, 1e-3, LABELLED_STILLS, input_size=160, start=""),
)
PHASE_NAMES = tuple(phase.name for phase in PHASES)


def train(
    settings: FaceTraining,
    *,
    phases: Sequence[str] = PHASE_NAMES,
    minutes: float = MINUTES,
    steps: int | None = None,
    progress: Progress = no_progress,
) -> Iterator[dict[str, Any]]:
    """Train phase after phase, in the order of :data:`PHASES`.

    Each phase writes ``<phase>.safetensors`` and ``<phase>.scores.json``.

    Parameters
    ----------
    phases
        Names of the phases to train; a phase that starts from another one needs the weights of that one.
    minutes
        Approximate time for all of :data:`PHASES` together; the number of steps of each phase is estimated from a few
        timed ones. The same number of steps repeats a run on any machine; the same minutes do not.
    steps
        Steps of each phase, instead of ``minutes``.
    progress
        Called with the stage (the name of a phase, or of a pool of faces that is being made), the number of items
        done, and their total: :data:`training.progress.Progress`.

    Yields
    ------
    dict
        After each phase, its name, steps and scores. With ``settings.resume``, phases with weights and scores are
        skipped, a phase with weights only is scored, and an unfinished phase resumes with the number of steps in its
        checkpoint.

    Raises
    ------
    InputError
        Data, weights or a checkpoint can't be used, or belong to a run with other data, steps or starting weights;
        raised before the first phase where possible.
    """
    if unknown := set(phases) - set(PHASE_NAMES):
        raise InputError(f"no phase is called {min(unknown)!r}; known are {', '.join(PHASE_NAMES)}")
    chosen = [phase for phase in PHASES if phase.name in phases]
    data = FaceData(settings, progress)
    run_folder.check(settings, data.identity)
    for phase in chosen:
        if not run_folder.has_weights(settings, phase, steps):
            data.check(phase.mix, left_out=phase.left_out)
    run_folder.claim(settings, data.identity, chosen)
    folds.write(settings.out / folds.FILE, data.assignments)
    for phase in chosen:
        trained = run_folder.has_weights(settings, phase, steps)
        if trained and run_folder.has_scores(settings, phase):
            logger.info("%s: trained and scored before, in %s", phase.name, settings.out)
            continue
        with _torch_as_it_was():
            if not trained:
                n_steps = _number_of_steps(phase, data, settings, minutes=minutes, steps=steps)
                run_folder.begin(settings, phase, n_steps)
                Trainer(phase, data, settings, steps=n_steps).run(progress)
            result = _score_phase(phase, data, settings)
        yield result


def _score_phase(phase: Phase, data: FaceData, settings: FaceTraining) -> dict[str, Any]:
    """Score the weights that a phase wrote, and write the scores."""
    n_steps = run_folder.n_steps(settings, phase)
    trainer = Trainer(phase, data, settings, steps=n_steps)
    trainer.load()
    result = {"phase": phase.name, "steps": n_steps, **trainer.scores()}
    write_text(scores_file(settings, phase), json.dumps(result, indent=1) + "\n")
    return result


def _number_of_steps(phase: Phase, data: FaceData, settings: FaceTraining, *, minutes: float, steps: int | None) -> int:
    """Return ``steps`` if given, else the number in the checkpoint, else the number that fits into the minutes."""
    if steps is not None:
        return steps
    checkpoint = checkpoint_file(settings, phase)
    if settings.resume and checkpoint.exists():
        return int(read_checkpoint(checkpoint)["steps"])
    seconds = seconds_per_step(phase, data, settings)
    estimated = max(1, round(60 * minutes * phase.share / seconds))
    logger.info(
        "%s: %d steps fit into %.1f minutes (%.2f s each); --steps %d repeats this phase",
        phase.name,
        estimated,
        minutes * phase.share,
        seconds,
        estimated,
    )
    return estimated


@contextlib.contextmanager
def _torch_as_it_was() -> Iterator[None]:
    """Use one thread, so that the order of sums is fixed; then restore the caller's threads and random state."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)

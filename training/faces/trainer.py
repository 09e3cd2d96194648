"""One phase of a face network's training: network, moving average, optimiser, learning rate and checkpoints.

The length of a phase is a number of steps, and all random numbers come from the seed. On a CPU, the same data and
settings give bit-identical weights, however often the run was interrupted and resumed, and however many processes make
its batches.
"""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

import numpy as np

from features.errors import InputError, ModelError
from features.places import in_place_of
from training.checkpoints import read_checkpoint
from training.faces import pools
from training.faces.batches import Batches, Mix
from training.faces.data import FaceTraining
from training.faces.optimisation import learning_rates, moving_average, optimiser
from training.faces.weight_space import imagenet_weights, interpolate
from training.interrupts import ignore_interrupts, interrupt_flag
from training.progress import Progress, no_progress

if TYPE_CHECKING:  # torch is imported where it is used
    from features.networks.efficientnet_lite import LiteNet

LABEL_SMOOTHING = 0.05  # keeps logits within about +-3.7
RANK_WEIGHT = 0.5  # weight of the ranking loss within pairs, in which shared traits (source, light, codec) cancel
MAX_GRADIENT_NORM = 5.0
UNINTERPOLATED = ".alpha0"  # in the name of weights after training on clips, before interpolation
CHECKPOINT_S = 180.0  # seconds between checkpoints; results do not depend on it
LOG_STEPS, CHECK_STEPS = 20, 400
LOG_COLUMNS = ("step", "loss", "images", "seconds", "rate", "holdout_auc", "holdout_log_loss")
HOLDOUT_ROWS = 400  # held-out stills that are scored during training
TIMED_STEPS, UNTIMED_STEPS = 6, 2  # steps of the trial that estimates the time of a step
BATCHES_AHEAD = 4  # batches that each process prepares in advance


@dataclass(frozen=True)
class Phase:
    """A phase of the training."""

    name: str
    share: float
    """Fraction of a run's minutes, where the minutes determine the number of steps."""
    rate: float
    """Maximum learning rate."""
    mix: Mix
    left_out: int | None = None
    """Fold of the clips that is left out; None: no fold."""
    input_size: int = 128
    """Side of the crops, in pixels; larger crops generalised worse."""
    input_representation: str = "rgb"
    """Input of the network: :class:`features.networks.efficientnet_lite.WeightsMetadata`."""
    start: str = "base"
    """The phase whose weights this phase starts from; empty for the first."""
    alpha: float = 0.5
    """Interpolation in weight space after training on clips: the weight of the starting weights (WiSE-FT)."""

    @property
    def version(self) -> str:
        """The version in the metadata of the weights file."""
        return f"1-{self.name}"


class TrainingData(Protocol):
    """The interface of :class:`training.faces.data.FaceData` that a trainer needs."""

    stills: pools.Pool
    fold_of: dict[str, int]

    @property
    def identity(self) -> str:
        """Digest of the data and settings that a trained network depends on."""

    @property
    def labelled(self) -> pools.Pool:
        """Frames of the clips, and further labelled crops."""

    def batches(self, mix: Mix, *, left_out: int | None, size: int) -> Batches:
        """Batches of a mix."""

    def holdout_rows(self) -> Any:
        """Rows of the held-out stills."""


class Trainer:
    """The state of a phase after ``step`` of its ``steps`` steps; it does not depend on interruptions.

    Raises
    ------
    ModelError
        The weights that the phase starts from are missing.
    InputError
        The checkpoint to resume from is of other data, another seed or another number of steps.
    """

    def __init__(self, phase: Phase, data: TrainingData, settings: FaceTraining, *, steps: int) -> None:
        import torch
        from torch.optim.swa_utils import AveragedModel

        from features.networks.efficientnet_lite import LiteNet, WeightsMetadata

        self.phase, self.data, self.settings, self.steps = phase, data, settings, steps
        self.metadata = WeightsMetadata(
            version=phase.version, input_size=phase.input_size, input_representation=phase.input_representation
        )
        self.device = torch.device(settings.device)
        self.step, self.seconds, self._losses = 0, 0.0, list[float]()
        torch.manual_seed(settings.seed)
        self.net = LiteNet()
        self._start()
        self.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.net, avg_fn=moving_average, use_buffers=True)
        self.optimiser = optimiser(self.net, phase.rate)
        self.schedule = learning_rates(self.optimiser, steps)
        if settings.resume and self.checkpoint.exists():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        """The file that holds the state of an unfinished phase."""
        return checkpoint_file(self.settings, self.phase)

    @property
    def averaged_net(self) -> LiteNet:
        """The network of the averaged weights."""
        return cast("LiteNet", self.average.module)

    def _start(self) -> None:
        start, weights = self.phase.start, start_file(self.settings, self.phase)
        if weights is None:
            self.net.load_state_dict(imagenet_weights(self.net))
        elif weights.exists():
            from features.networks.efficientnet_lite import read_weights

            self.net.load_state_dict(read_weights(weights)[1])
        else:
            advice = f"run the phase {start} first" if start else "give weights that a training run wrote"
            raise ModelError(f"{weights} is missing; {advice}")

    def run(self, progress: Progress = no_progress) -> None:
        """Train to the last step, then write the averaged weights.

        After training on clips, the averaged weights are interpolated in weight space with the weights that the phase
        started from (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"), because fine-tuning on clips of
        few sources generalises only in part. The weights before interpolation are kept as
        ``<phase>.alpha0.safetensors``, for another alpha. After Ctrl-C, the trainer finishes the current step.

        ``progress`` is called with the name of the phase, the number of steps done, and their total.

        Raises
        ------
        KeyboardInterrupt
            The run was interrupted; the checkpoint is written.
        """
        with interrupt_flag() as interrupted, self._log() as log:
            progress(self.phase.name, self.step, self.steps)
            began, saved = time.monotonic() - self.seconds, time.monotonic()
            for pixels, targets in self.batches():
                self._losses.append(self.learn(pixels, targets))
                self.seconds = time.monotonic() - began
                progress(self.phase.name, self.step, self.steps)
                if self.step % LOG_STEPS == 0:
                    csv.writer(log).writerow(self._log_row())
                if interrupted() or time.monotonic() - saved > CHECKPOINT_S:
                    self.save()
                    saved = time.monotonic()
                if interrupted():
                    raise KeyboardInterrupt
        self._finish()

    def _finish(self) -> None:
        from features.networks.efficientnet_lite import save_weights

        if self.phase.mix.clips:
            start = self.settings.out / f"{self.phase.start}.safetensors"
            save_weights(
                self.averaged_net, self.settings.out / f"{self.phase.name}{UNINTERPOLATED}.safetensors", self.metadata
            )
            interpolate(self.averaged_net, start, self.phase.alpha)
        save_weights(self.averaged_net, weights_file(self.settings, self.phase), self.metadata)
        self.checkpoint.unlink(missing_ok=True)

    def load(self) -> None:
        """Load the averaged weights from the file that :meth:`run` wrote, in half precision, as users get them."""
        from features.networks.efficientnet_lite import read_weights

        self.averaged_net.load_state_dict(read_weights(weights_file(self.settings, self.phase))[1])

    @contextlib.contextmanager
    def _log(self) -> Iterator[TextIO]:
        """Open the log and keep its rows up to the current step; rows after the checkpoint are written again."""
        file = self.settings.out / f"{self.phase.name}.csv"
        rows: list[list[str]] = []
        if self.step and file.exists():
            with file.open(newline="", encoding="utf-8") as written:
                rows = [row for row in csv.reader(written) if row and row[0].isdigit() and int(row[0]) <= self.step]
        with file.open("w", newline="", buffering=1, encoding="utf-8") as log:
            csv.writer(log).writerows([LOG_COLUMNS, *rows])
            yield log

    def _log_row(self) -> tuple[Any, ...]:
        checked = self._quick_check() if self.step % CHECK_STEPS == 0 else ("", "")
        images = self.step * 2 * self.phase.mix.total
        loss, rate = f"{np.mean(self._losses):.4f}", f"{self.schedule.get_last_lr()[0]:.2e}"
        self._losses.clear()
        return (self.step, loss, images, f"{self.seconds:.0f}", rate, *checked)

    def batches(self) -> Iterator[Any]:
        """Yield pixels and targets of the remaining steps."""
        import torch
        from torch.utils.data import DataLoader, Subset

        batches = self.data.batches(self.phase.mix, left_out=self.phase.left_out, size=self.phase.input_size)
        left: Subset[Any] = Subset(batches, range(self.step, self.steps))  # type: ignore[arg-type]
        workers = self.settings.workers
        return iter(
            DataLoader(
                left,
                batch_size=None,
                num_workers=workers,
                prefetch_factor=BATCHES_AHEAD if workers else None,
                worker_init_fn=ignore_interrupts,
                generator=torch.Generator(),  # so that seeding the workers does not use the network's random numbers
            )
        )

    def learn(self, pixels: Any, targets: Any) -> float:
        """Take one step on a batch and return its loss."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits, softplus

        from features.networks.efficientnet_lite import normalised

        self.net.train()
        x = normalised(pixels.to(self.device), self.metadata)
        soft = targets.to(self.device) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.net(x)
        gaps = logits.float()[1::2] - logits.float()[0::2]  # fake minus real of each pair
        loss = binary_cross_entropy_with_logits(logits.float(), soft) + RANK_WEIGHT * softplus(-gaps).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.net)
        self.step += 1
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, and the state of the log."""
        import torch

        return {
            "run": self.data.identity,
            "steps": self.steps,
            "step": self.step,
            "seconds": self.seconds,
            "losses": self._losses,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def save(self) -> None:
        """Write the checkpoint; the file is replaced atomically."""
        import torch

        with in_place_of(self.checkpoint) as temporary:
            torch.save(self.state(), temporary)

    def _restore(self) -> None:
        import torch

        state = read_checkpoint(self.checkpoint)
        if (state["run"], state["steps"]) != (self.data.identity, self.steps):
            raise InputError(
                f"{self.checkpoint} is of a run of {state['steps']} steps on other data, or with another seed; "
                "give the options of that run, or delete the file to start the phase again"
            )
        self.step, self.seconds, self._losses = state["step"], state["seconds"], state["losses"]
        for name in ("net", "average", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        if state["cuda_random"]:
            torch.cuda.set_rng_state_all(state["cuda_random"])

    def logits(self, pixels: Any) -> Any:
        """Return logits [n] of the averaged weights for crops [n, 3, s, s]."""
        import torch

        from features.networks.efficientnet_lite import normalised

        self.average.eval()
        with torch.inference_mode():
            parts = [
                self.average(normalised(part.to(self.device), self.metadata)).cpu().numpy()
                for part in torch.from_numpy(pixels).split(32)
            ]
        return np.concatenate(parts)

    def _quick_check(self) -> tuple[str, str]:
        from training.faces.scores import binary_scores

        rows = self.data.holdout_rows()[:HOLDOUT_ROWS]
        logits = self.logits(pools.crops_of(self.data.stills, rows, self.phase.input_size))
        auc, loss = binary_scores(logits, self.data.stills.fake[rows])
        return f"{auc:.4f}", f"{loss:.4f}"

    def scores(self) -> dict[str, Any]:
        """Score the averaged weights on the held-out stills and on clips, if any, that they were not trained on.

        The logits of the stills are written to ``<out>/<phase>.stills.csv``.
        """
        from training.faces import scores as clip_scores
        from training.faces import stills_scores

        data, size, left_out = self.data, self.phase.input_size, self.phase.left_out
        file = self.settings.out / f"{self.phase.name}.stills.csv"
        result: dict[str, Any] = {
            "stills": stills_scores.measure(self.logits, data.stills, data.holdout_rows(), size, file)
        }
        if not self.phase.mix.clips or left_out is not None:
            rows = pools.rows_by_key(data.labelled)
            for name, single in (("clips", False), ("pictures", True)):
                keys = [
                    key
                    for key, of_key in rows.items()
                    if (len(of_key) == 1) == single and (left_out is None or data.fold_of[key] == left_out)
                ]
                if keys:
                    result[name] = clip_scores.clip_scores(data.labelled, keys, self.logits, size)
        return result


def start_file(settings: FaceTraining, phase: Phase) -> Path | None:
    """Return the weights that a phase starts from; None: those of ImageNet."""
    return settings.out / f"{phase.start}.safetensors" if phase.start else settings.start


def weights_file(settings: FaceTraining, phase: Phase) -> Path:
    """Return the file for the weights of a phase."""
    return settings.out / f"{phase.name}.safetensors"


def scores_file(settings: FaceTraining, phase: Phase) -> Path:
    """Return the file for the scores of a phase."""
    return settings.out / f"{phase.name}.scores.json"


def checkpoint_file(settings: FaceTraining, phase: Phase) -> Path:
    """Return the file for the state of an unfinished phase."""
    return settings.out / f"{phase.name}.checkpoint"


def seconds_per_step(phase: Phase, data: TrainingData, settings: FaceTraining) -> float:
    """Measure the mean time of a step on this machine, batches included, in a trial whose state is discarded."""
    from dataclasses import replace

    trial = Trainer(phase, data, replace(settings, resume=False), steps=UNTIMED_STEPS + TIMED_STEPS)
    began = 0.0
    for pixels, targets in trial.batches():
        trial.learn(pixels, targets)
        if trial.step == UNTIMED_STEPS:
            began = time.monotonic()
    return (time.monotonic() - began) / TIMED_STEPS

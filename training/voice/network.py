"""Train the speech network: batches of windows, their augmentation, steps, checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel

from features.measures.speech_bands import N_MEL
from features.networks.speech_net import WINDOW, SpeechNet, SpeechScorer
from features.places import in_place_of
from features.threads import torch_on_one_thread
from training.checkpoints import read_checkpoint

BATCH = 48
RATE, WEIGHT_DECAY = 4e-3, 0.02
EMA_DECAY = 0.99
SMOOTHING = 0.05  # label smoothing
MIXUP = 0.4  # both parameters of the beta distribution (Zhang et al. 2018)
MASKED_BANDS, MASKED_FRAMES = 12, 24  # largest masked stretch, one of each (SpecAugment, Park et al. 2019)
TILT = 0.1  # spread (log10) of a random spectral tilt, in addition to the augmentation of the audio
P_GATE, GATE = 0.3, (1.0, 3.0)  # probability that quiet cells are raised, and their level below the mean (log10)
CHECKPOINT_STEPS = 200

Batch = tuple[torch.Tensor, torch.Tensor]


class NetworkTraining:
    """A training of ``steps`` steps that can be saved and resumed between any two of them.

    Parameters
    ----------
    mel
        Spectrograms [64, frames], of any length.
    synthetic : ndarray of shape (n,)
        True for synthetic speech.
    weight : ndarray of shape (n,)
        Relative probability of drawing each spectrogram.
    steps
        Number of steps, 1 or more.
    seed
        Seed of weights, batches and augmentation: the same data, steps and seed give the same network.
    """

    def __init__(
        self,
        mel: Sequence[NDArray[np.float16]],
        synthetic: NDArray[np.bool_],
        weight: NDArray[np.float64],
        *,
        steps: int,
        seed: int,
    ) -> None:
        self.mel, self.synthetic, self.p = mel, synthetic.astype(np.float32), weight / weight.sum()
        self.steps, self.seed, self.step = steps, seed, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = SpeechNet()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), RATE, weight_decay=WEIGHT_DECAY)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, RATE, steps)
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY)
        self.average = AveragedModel(self.net, multi_avg_fn=average, use_buffers=True)

    def run(self, checkpoint: Path | None = None) -> SpeechScorer:
        """Train to the end; save the state to ``checkpoint`` every 200 steps, and resume from it if it exists."""
        if checkpoint and checkpoint.is_file():
            self.load(checkpoint)
        with torch_on_one_thread(), torch.random.fork_rng(devices=[]):
            while self.step < self.steps:
                self.one_step()
                if checkpoint and self.step % CHECKPOINT_STEPS == 0:
                    self.save(checkpoint)
        module: Any = self.average.module
        return SpeechScorer({name: tensor.numpy() for name, tensor in module.state_dict().items()})

    def one_step(self) -> float:
        """Take one step on one batch and return its loss."""
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # for dropout
        x, y = self.batch(self.step)
        self.net.train()
        loss = binary_cross_entropy_with_logits(self.net(x), y)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.net)
        self.step += 1
        return float(loss.detach())

    def batch(self, step: int) -> Batch:
        """Return augmented windows [48, 1, 64, 128] and mixed, smoothed labels [48] of a step."""
        rng = np.random.default_rng([self.seed, step])
        rows = rng.choice(len(self.p), BATCH, p=self.p)
        x = np.stack([_augmented(_window(self.mel[row], rng), rng) for row in rows])
        y = self.synthetic[rows]
        share, other = rng.beta(MIXUP, MIXUP), rng.permutation(BATCH)
        x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
        y = SMOOTHING + (1 - 2 * SMOOTHING) * y
        return torch.from_numpy(x.astype(np.float32))[:, None], torch.from_numpy(y.astype(np.float32))

    def save(self, file: Path) -> None:
        """Write the state; the file is replaced atomically."""
        state = {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        with in_place_of(file) as temporary:
            torch.save(state, temporary)

    def load(self, file: Path) -> None:
        """Load the state that :meth:`save` wrote in a training with the same data, steps and seed.

        Raises
        ------
        ModelError
            The file can't be read.
        """
        state = read_checkpoint(file)
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])


def _window(mel: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a random window [64, 128] of a spectrogram; a shorter spectrogram is repeated."""
    if mel.shape[1] < WINDOW:
        mel = np.tile(mel, (1, -(-WINDOW // mel.shape[1])))
    start = int(rng.integers(mel.shape[1] - WINDOW + 1))
    return mel[:, start : start + WINDOW].astype(np.float32)


def _augmented(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Mask bands and frames of a window [64, 128], add a random spectral tilt, and sometimes raise its quiet cells."""
    band, frame = int(rng.integers(N_MEL - MASKED_BANDS)), int(rng.integers(WINDOW - MASKED_FRAMES))
    x[band : band + int(rng.integers(MASKED_BANDS))] = 0
    x[:, frame : frame + int(rng.integers(MASKED_FRAMES))] = 0
    colour = np.interp(np.arange(N_MEL), np.linspace(0, N_MEL - 1, 6), rng.normal(0, TILT, 6))
    x = x + colour[:, None].astype(np.float32)
    return np.maximum(x, -rng.uniform(*GATE)) if rng.random() < P_GATE else x

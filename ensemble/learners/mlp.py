"""A multilayer perceptron: smooth like the kernel machine, with directions and interactions that it learns.

The design is our own: two hidden layers of GELU units (Hendrycks & Gimpel 2016) on standardised cues and missing
indicators, each beside slow sines and cosines of it (random Fourier features: Rahimi & Recht 2007; for tables:
Gorishniy et al. 2022, "On embeddings for numerical features"), so that a cue may count by its middle or its ends.
Dropout (Srivastava et al. 2014), noise on the inputs and smoothed labels reduce overfitting. Training is short, by
AdamW (Loshchilov & Hutter 2019) at a one-cycle learning rate (Smith & Topin 2018), so that no rows are needed for early
stopping. A few such networks, each fitted on all rows from another start, are averaged.

torch fits them; numpy predicts, so that a stored model does not need torch.

Families share a log-odds by integrated gradients (Sundararajan et al. 2017) from the mean row: the mean gradient on
the straight line from there, in the space of cues and waves, times the distance. The first layer is linear on it, so
that a point of the quadrature costs only the second.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from ensemble.arrays import Array, Float, Int
from ensemble.learners.additive import MAX_LOGIT, by_family, clipped
from ensemble.learners.base import LearnerSettings, check_fitted
from ensemble.learners.preprocess import Inputs, Standard
from ensemble.training_set import Layout
from features.threads import torch_on_one_thread

MAX_NETWORKS = 3
WIDTHS = (192, 64)  # units of the hidden layers
N_WAVES = 4  # of each input
FREQUENCY = 0.1  # standard deviation of a wave's, in cycles over a standard deviation of the input
N_EPOCHS = 14
MAX_STEPS = 1_200  # of a large table: else the learner would take most of the time at the size of the challenge
BATCH_ROWS = 256
MIN_BATCHES = 32  # of an epoch: a small table has smaller batches, though not below the next number
MIN_BATCH_ROWS = 16
WEIGHT_DECAY = 0.03
INPUT_DROPOUT, HIDDEN_DROPOUT = 0.3, 0.6
NOISE = 0.1  # standard deviation of what is added to an input or a wave; an input's own is 1
SMOOTHING = 0.02  # the labels are 0.01 and 0.99
PEAK_RATE = 2e-3  # learning rate
N_POINTS = 16  # of the quadrature
BLOCK_ROWS = 512  # predicted or explained at a time: memory
ARRAYS = ("weights1", "bias1", "weights2", "bias2", "weights3", "bias3")


class Perceptron:
    """The mean log-odds of at most :data:`MAX_NETWORKS` networks."""

    name = "mlp"

    def __init__(self, layout: Layout, settings: LearnerSettings) -> None:
        self.layout = layout
        self.settings = settings
        self.inputs: Inputs | None = None  # before fit or load
        self.arrays: dict[str, Any] = {}
        """:data:`ARRAYS`, float32: weights [b, n_in, n_out] and biases [b, 1, n_out] of the b networks' layers.

        And ``frequencies`` [d, n_waves] of the waves of the d inputs.
        """

    def fit(self, X: Float, y: Int, groups: Int, seed: int) -> Self:
        """Train a network for each bag, up to :data:`MAX_NETWORKS`, on all rows; groups make no difference.

        Parameters and shapes as in :meth:`ensemble.learners.base.Learner.fit`.
        """
        inputs = Inputs.fit(X, self.layout.family_index, kind=Standard)
        Z = inputs.transform(X)
        draws = np.random.default_rng(seed)
        frequencies = draws.normal(0.0, FREQUENCY, (Z.shape[1], N_WAVES)).astype(np.float32)
        with torch_on_one_thread():
            numbers = range(min(self.settings.n_bags, MAX_NETWORKS))
            networks = [_train(Z, y, frequencies, seed + number) for number in numbers]
        self.arrays = {name: np.stack(values) for name, values in zip(ARRAYS, zip(*networks, strict=True), strict=True)}
        self.arrays["frequencies"] = frequencies
        self.inputs = inputs
        return self

    def predict_logit(self, X: Float) -> Array:
        """[n] log-odds of FAKE."""
        layers = self._layers()
        blocks = [log_odds(self._with_waves(X[rows]), layers) for rows in _blocks(len(X))]
        return np.clip(np.concatenate([np.empty(0), *blocks]), -MAX_LOGIT, MAX_LOGIT)

    def family_logits(self, X: Float) -> Array:
        """[n, n_families + 1] integrated gradients from the mean row, whose log-odds is the constant, last.

        The error of the quadrature is shared in proportion to the parts.
        """
        inputs, layers = self._fitted(), self._layers()
        constant = float(log_odds(np.zeros((1, layers[0].shape[1])), layers)[0])
        columns = np.zeros((len(X), len(self.layout.columns) + 1))
        columns[:, -1] = constant
        left = np.empty(len(X))
        shape = len(inputs.columns), 1 + 2 * self.arrays["frequencies"].shape[1]
        for rows in _blocks(len(X)):
            x = self._with_waves(X[rows])
            terms = (x * mean_gradient(x, layers)).reshape(len(x), *shape).sum(axis=2)
            left[rows] = log_odds(x, layers) - constant - terms.sum(axis=1)
            for number, column in enumerate(inputs.columns):
                columns[rows, column] += terms[:, number]
        parts = by_family(columns, self.layout)
        size = np.abs(parts[:, :-1])
        parts[:, :-1] += size * (left / np.maximum(size.sum(axis=1), np.finfo(np.float64).tiny))[:, None]
        return clipped(parts)

    def save(self, folder: Path, stem: str) -> list[str]:
        """Write ``<stem>.json`` and the arrays to ``<stem>.safetensors``."""
        from safetensors.numpy import save

        names = [f"{stem}.json", f"{stem}.safetensors"]
        (folder / names[0]).write_text(json.dumps({"inputs": self._fitted().as_dict()}), encoding="utf-8")
        (folder / names[1]).write_bytes(save(self.arrays))
        return names

    @classmethod
    def load(cls, folder: Path, stem: str, layout: Layout) -> Self:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        result = cls(layout, LearnerSettings())
        arrays = load_file(folder / f"{stem}.safetensors")
        result.arrays = {name: arrays[name] for name in (*ARRAYS, "frequencies")}
        result.inputs = Inputs.from_dict(json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))["inputs"])
        return result

    def _fitted(self) -> Inputs:
        check_fitted(self.inputs is not None, self)
        assert self.inputs is not None
        return self.inputs

    def _with_waves(self, X: Float) -> Array:
        """[n, d (1 + 2 n_waves)] inputs of rows of the table and their waves, in double precision."""
        Z = self._fitted().transform(X).astype(np.float64)
        return waves(Z, self.arrays["frequencies"].astype(np.float64))

    def _layers(self) -> tuple[Array, ...]:
        """:data:`ARRAYS` in double precision: a row's log-odds must not depend on the rows beside it."""
        self._fitted()
        return tuple(self.arrays[name].astype(np.float64) for name in ARRAYS)


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)


def waves(Z: Any, frequencies: Any) -> Any:
    """[n, d (1 + 2 k)] of inputs [n, d]: each, k sines and k cosines less 1 of it; all 0 where the input is 0."""
    angles = (2 * np.pi * frequencies).astype(Z.dtype) * Z[:, :, None]
    return np.concatenate([Z[:, :, None], np.sin(angles), np.cos(angles) - 1], axis=2).reshape(len(Z), -1)


def gelu(x: Array) -> tuple[Array, Array]:
    """Return the activation of ``x``, of any shape, and its derivative."""
    from scipy.special import ndtr

    below = ndtr(x)
    return x * below, below + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def log_odds(Z: Array, layers: tuple[Array, ...]) -> Array:
    """[n] mean over the networks, of inputs and waves [n, d]."""
    weights1, bias1, weights2, bias2, weights3, bias3 = layers
    hidden, _ = gelu(Z @ weights1 + bias1)
    hidden, _ = gelu(hidden @ weights2 + bias2)
    return (hidden @ weights3 + bias3)[:, :, 0].mean(axis=0)


def mean_gradient(Z: Array, layers: tuple[Array, ...]) -> Array:
    """[n, d] gradient of the log-odds, its mean over the line from 0 to each row [n, d] of inputs and waves."""
    weights1, bias1, weights2, bias2, weights3, _ = layers
    points, shares = np.polynomial.legendre.leggauss(N_POINTS)
    reach = Z @ weights1
    total = np.zeros_like(reach)
    for t, share in zip((points + 1) / 2, shares / 2, strict=True):
        hidden, slope1 = gelu(t * reach + bias1)
        _, slope2 = gelu(hidden @ weights2 + bias2)
        total += share * slope1 * ((slope2 * weights3.swapaxes(1, 2)) @ weights2.swapaxes(1, 2))
    return (total @ weights1.swapaxes(1, 2)).mean(axis=0)


def _train(Z: Float, y: Int, frequencies: Float, seed: int) -> list[Any]:
    """Fit a network and return its :data:`ARRAYS`, without the axis of networks.

    All draws come from a separate generator: parallel fits run in threads, which share torch's global one.

    Parameters
    ----------
    Z
        [n, d] inputs, n at least 1.
    y
        [n] 1 for FAKE.
    frequencies
        [d, n_waves] of the inputs' waves.
    seed
        Seed of weights, batches, dropout and noise.
    """
    import torch

    draws = torch.Generator().manual_seed(seed)
    targets = torch.from_numpy(y).float() * (1 - SMOOTHING) + SMOOTHING / 2
    parameters = _initial(Z.shape[1] * (1 + 2 * frequencies.shape[1]), draws)
    size, n_steps = training_steps(len(y))
    optimiser = torch.optim.AdamW(parameters, weight_decay=WEIGHT_DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=n_steps)
    for rows in itertools.islice(batches(len(y), size, draws), n_steps):
        x = torch.from_numpy(waves(Z[rows.numpy()], frequencies))  # the waves of all rows would fill the memory
        z = _noisy_forward(x, parameters, draws)
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(z, targets[rows]).backward()
        optimiser.step()
        rates.step()
    return [value.detach().numpy() for value in parameters]


def training_steps(n_rows: int) -> tuple[int, int]:
    """Return the rows of a batch, and the number of batches that a network is trained on, for a table of ``n_rows``."""
    size = min(max(n_rows // MIN_BATCHES, MIN_BATCH_ROWS), BATCH_ROWS, n_rows)
    return size, min(N_EPOCHS * (n_rows // size), MAX_STEPS)


def batches(n_rows: int, size: int, draws: Any) -> Iterator[Any]:
    """Yield the rows [size] of batches without end: epochs of all whole batches, each in a new order of the rows."""
    import torch

    n_batches = n_rows // size
    while True:
        yield from torch.randperm(n_rows, generator=draws)[: n_batches * size].view(n_batches, size)


def _initial(n_inputs: int, draws: Any) -> list[Any]:
    """Weights and biases of each layer, uniform within the inverse root of its number of inputs."""
    import torch

    parameters = []
    for n_in, n_out in itertools.pairwise((n_inputs, *WIDTHS, 1)):
        bound = max(n_in, 1) ** -0.5
        for shape in ((n_in, n_out), (1, n_out)):
            parameters.append(torch.empty(shape).uniform_(-bound, bound, generator=draws).requires_grad_())
    return parameters


def _noisy_forward(x: Any, parameters: list[Any], draws: Any) -> Any:
    """[n] log-odds of inputs [n, d] by a network with dropout and noise."""
    import torch

    def dropped(x: Any, share: float) -> Any:
        return x * (torch.rand(x.shape, generator=draws) >= share) / (1 - share)

    weights1, bias1, weights2, bias2, weights3, bias3 = parameters
    x = dropped(x + NOISE * torch.randn(x.shape, generator=draws), INPUT_DROPOUT)
    x = dropped(torch.nn.functional.gelu(torch.addmm(bias1, x, weights1)), HIDDEN_DROPOUT)
    x = dropped(torch.nn.functional.gelu(torch.addmm(bias2, x, weights2)), HIDDEN_DROPOUT)
    return torch.addmm(bias3, x, weights3)[:, 0]

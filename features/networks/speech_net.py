"""The network of the speech detector: four convolutions over a log-mel spectrogram, and its windows.

It reads what :mod:`features.measures.speech_bands` measures. Importing this module imports torch: families import it
where they run it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.measures.speech_bands import N_MEL
from features.threads import torch_on_one_thread

CHANNELS = (16, 32, 48, 64)
N_REGIONS = 2  # of frequency, pooled apart
WINDOW = 128  # frames, 1.28 s
DROPOUT = 0.4


class SpeechNet(nn.Module):
    """The network, of 47,000 parameters: a logit for windows [n, 1, 64, 128], positive for synthetic speech.

    Three of the four convolutions halve both axes. Mean and standard deviation over time, of a lower and an upper half
    of frequency, go to one linear unit.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (into, out) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False)):
            stride = 2 if number < len(CHANNELS) - 1 else 1
            convolution = nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(2 * N_REGIONS * CHANNELS[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n] logits."""
        h = self.layers(x)
        n, channels, height, width = h.shape
        h = h.reshape(n, channels * N_REGIONS, height // N_REGIONS, width).mean(dim=2)
        pooled = torch.cat([h.mean(dim=2), h.std(dim=2)], dim=1)
        logit: Tensor = self.head(self.dropout(pooled))
        return logit[:, 0]


def windows(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return windows [m, 64, 128] of a spectrogram [64, n], evenly spaced from start to end, with half overlap.

    A shorter one is repeated until it fills a window.
    """
    n = mel.shape[1]
    if n < WINDOW:
        mel, n = np.tile(mel, (1, -(-WINDOW // n))), -(-WINDOW // n) * n
    starts = np.unique(np.linspace(0, n - WINDOW, max(1, 2 * -(-n // WINDOW) - 1)).astype(int))
    return np.stack([mel[:, start : start + WINDOW] for start in starts])


class SpeechScorer:
    """A network ready to run on one thread.

    Parameters
    ----------
    arrays
        State of a :class:`SpeechNet`, by name.

    Raises
    ------
    RuntimeError
        The weights are of another network.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        with torch.device("meta"):  # on no device: initial weights would draw from the caller's random numbers
            self.net = SpeechNet()
        state = {name: torch.from_numpy(np.asarray(tensor)) for name, tensor in arrays.items()}
        self.net.load_state_dict(state, assign=True)
        self.net.eval()

    def logit(self, mel: NDArray[np.float32]) -> float:
        """Mean logit of the :func:`windows` of a spectrogram [64, n]."""
        assert mel.shape[0] == N_MEL
        with torch_on_one_thread(), torch.inference_mode():
            return float(self.net(torch.from_numpy(windows(mel))[:, None]).mean())

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the state by name, for the constructor."""
        return {name: tensor.numpy() for name, tensor in self.net.state_dict().items()}

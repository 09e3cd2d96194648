"""The fixtures of :mod:`people`, and a small untrained speech detector, for every test of this folder."""

import numpy as np
import pytest
from people import make_observation, make_track, rng, talking_head

__all__ = ["make_observation", "make_track", "rng", "talking_head"]


@pytest.fixture
def speech_network():
    """The network of the speech detector with random weights, the same each time."""
    import torch

    from features.networks.speech_net import SpeechNet, SpeechScorer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SpeechScorer({name: one.numpy() for name, one in SpeechNet().state_dict().items()})


@pytest.fixture
def speech_encoder(rng):
    """An encoder of random weights."""
    from features.networks.speech_encoder import SHAPES, SpeechEncoder

    return SpeechEncoder({name: 0.1 * rng.standard_normal(shape) for name, shape in SHAPES.items()})


@pytest.fixture
def speech_model(rng, speech_network, speech_encoder):
    """A speech detector of random weights."""
    from features.networks.speech_encoder import STATISTICS
    from features.networks.speech_model import INPUTS, LinearModel, VoiceModel

    def linear(n):
        return LinearModel(rng.standard_normal(n), rng.uniform(0.5, 2, n), 0.05 * rng.standard_normal(n), -0.5)

    return VoiceModel(linear(len(INPUTS)), speech_network, speech_encoder, linear(len(STATISTICS)))


@pytest.fixture
def noise(rng):
    """Three seconds of white noise at 16 kHz."""
    return (0.1 * rng.standard_normal(3 * 16_000)).astype(np.float32)

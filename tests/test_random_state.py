import random

import numpy as np
import pytest
import random_state


def test_a_seed_does_not_outlive_the_block():
    torch = pytest.importorskip("torch")

    def draw():
        return random.random(), np.random.random(), float(torch.rand(1))

    def seed(number):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)

    seed(1)
    with random_state.restored():
        expected = draw()
    with random_state.restored():
        seed(2)
        draw()
    assert draw() == expected

"""For every test: global random states that it changes are put back, and it can be interrupted (Ctrl-C)."""

import signal

import numpy as np
import pytest
import random_state

from ensemble import metrics


@pytest.fixture(autouse=True)
def random_states_stay():
    with random_state.restored():
        yield


def pytest_configure():
    """Started in the background of a script, a process ignores Ctrl-C, and so would those that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def few_resamples():
    """Intervals from 100 resamples, a fifth of the usual ones: every training of a test makes hundreds of intervals."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(metrics, "N_RESAMPLES", metrics.N_RESAMPLES // 5)
        yield


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A public-domain portrait, 512x512 RGB, with one face about 110 px wide near (225, 120)."""
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture
def measured_here(monkeypatch):
    """Runs of this process measure in it, for tests of what goes on around the measuring."""
    from measured_here import measure_here

    measure_here(monkeypatch)

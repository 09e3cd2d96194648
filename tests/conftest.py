"""For every test: what it does to the global random states ends with it, so that no test depends on those before."""

import pytest
import random_state


@pytest.fixture(autouse=True)
def random_states_stay():
    with random_state.restored():
        yield

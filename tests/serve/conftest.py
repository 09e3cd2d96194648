"""A server for the tests of the page."""

import pytest
from page_server import running


@pytest.fixture
def server(tmp_path):
    """A server that keeps everything in a folder of the test."""
    with running(tmp_path / "work") as one:
        yield one

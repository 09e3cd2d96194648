"""Servers for the tests of the page; without its packages they are skipped."""

import pytest

pytest.importorskip("starlette", reason="the page's packages are not installed: pip install starlette uvicorn")
pytest.importorskip("uvicorn", reason="the page's packages are not installed: pip install starlette uvicorn")

from page_server import running


@pytest.fixture
def server(tmp_path):
    """A server that keeps everything in a folder of the test."""
    with running(tmp_path / "work") as one:
        yield one

"""Examples in the docstrings of what pages are made from."""

import doctest
import importlib

import pytest

MODULES = ("base_rates", "clip_report", "cue_positions", "cue_titles", "html", "norms", "timeline")


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"reports.{name}"))
    assert result.attempted
    assert not result.failed

"""The examples in docstrings are run."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "ensemble.calibrate",
        "ensemble.learners.additive",
        "ensemble.learners.late_fusion",
        "ensemble.metrics",
        "reports.references",
    ],
)
def test_examples_give_what_they_show(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed

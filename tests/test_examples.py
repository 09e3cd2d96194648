"""The examples in docstrings run and give what they say; those of functions that need clips: deepcue/test_api.py."""

import doctest
import importlib
import pkgutil

import pytest
from registry import own_registry

import deepcue.cli
import ensemble
import extract
import features
import forge
import reports
import serve
import training

PACKAGES = (features, extract, ensemble, reports, serve, forge, training, deepcue.cli)

EXAMPLES = [
    example
    for package in PACKAGES
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    for example in doctest.DocTestFinder().find(importlib.import_module(module.name))
    if example.examples
]


@pytest.fixture(autouse=True)
def families_stay(monkeypatch):
    """A family that an example declares is forgotten with it."""
    own_registry(monkeypatch)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_run(example):
    report = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert not result.failed, "".join(report)

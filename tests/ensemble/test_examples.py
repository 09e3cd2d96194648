"""The examples in docstrings of ensemble/ run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import ensemble

EXAMPLES = [
    example
    for module in pkgutil.walk_packages(ensemble.__path__, "ensemble.")
    for example in doctest.DocTestFinder().find(importlib.import_module(module.name))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_run(example):
    report = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert not result.failed, "".join(report)

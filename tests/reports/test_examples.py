"""The examples in docstrings of reports/ run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import reports

EXAMPLES = [
    example
    for module in pkgutil.walk_packages(reports.__path__, "reports.")
    for example in doctest.DocTestFinder().find(importlib.import_module(module.name))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_run(example):
    report = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert not result.failed, "".join(report)

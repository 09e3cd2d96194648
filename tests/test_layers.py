"""Imports run one way: from the floor that needs to the floor that is needed, never back, never in a circle."""

import ast
import functools
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

NEEDS = {
    "artifacts": set(),
    "features": {"artifacts"},
    "extract": {"artifacts", "features"},
    "ensemble": {"artifacts", "features"},
    "forge": {"artifacts", "features", "extract"},
    "reports": {"artifacts", "features", "ensemble"},
    "training": {"artifacts", "features", "extract", "ensemble", "forge"},
    "serve": {"artifacts", "features", "extract", "ensemble", "reports"},
    "deepcue": {"artifacts", "features", "extract", "ensemble", "forge", "reports", "serve", "training"},
    "benchmarks": {"artifacts", "features", "extract", "ensemble", "forge", "reports", "serve"},
}
"""Folder to the folders that its files may import."""

INSIDE = {
    "extract/clip": {"extract/clip"},
    "extract/run": {"extract/run", "extract/clip", "extract"},
    "features": {"features/families"},  # contracts know no measure; the package of families is listed to find them
    "features/measures": {"features/measures", "features"},
    "features/networks": {"features/networks", "features/measures", "features"},
    "ensemble/learners": {"ensemble/learners", "ensemble"},
    "forge/images": {"forge/images"},
    "forge/clips": {"forge/clips", "forge/images", "forge"},
    "forge/demo": {"forge/demo", "forge/clips", "forge"},
}
"""Inside a folder, the same for those of its sub-folders that have neighbours they must not know."""


@functools.cache
def modules():
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for folder in NEEDS
        for file in sorted((ROOT / folder).rglob("*.py"))
    }


def imported(file, known):
    """Modules of the project that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if found := next((known_name for known_name in _prefixes(name) if known_name in known), None):
                yield found


def _prefixes(name):
    """``a.b.c``, ``a.b``, ``a``."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


@pytest.fixture(scope="module")
def arrows():
    known = modules()
    return {name: set(imported(file, known)) - {name} for name, file in known.items()}


def folder_of(name):
    file = modules()[name]
    return "/".join(file.relative_to(ROOT).parent.parts[:2])


def test_every_folder_needs_only_what_lies_below_it(arrows):
    wrong = [
        f"{name} imports {other}"
        for name, others in arrows.items()
        for other in others
        if (other.split(".")[0] != name.split(".")[0] and other.split(".")[0] not in NEEDS[name.split(".")[0]])
    ]
    assert not wrong


def test_sub_folders_know_only_the_neighbours_that_they_may(arrows):
    wrong = [
        f"{name} imports {other}"
        for name, others in arrows.items()
        for other in others
        if (allowed := INSIDE.get(folder_of(name)))
        and other.split(".")[0] == name.split(".")[0]
        and folder_of(other) not in allowed | {name.split(".")[0]}
    ]
    assert not wrong


def test_no_file_of_features_imports_a_family(arrows):
    """What two families share has a module of its own; families are found by listing their folder."""
    wrong = [
        f"{name} imports {other}"
        for name, others in arrows.items()
        for other in others
        if name.startswith("features.") and other.startswith("features.families.")
    ]
    assert not wrong


def test_no_circle_of_files(arrows):
    graph = {name: {other for other in others if not other.startswith(name + ".")} for name, others in arrows.items()}
    state = defaultdict(int)  # 1 on the path, 2 done
    circles = []

    def visit(name, path):
        state[name] = 1
        for other in sorted(graph[name]):
            if state[other] == 1:
                circles.append(" -> ".join([*path[path.index(other) :], other]))
            elif state[other] == 0:
                visit(other, [*path, other])
        state[name] = 2

    for name in sorted(graph):
        if state[name] == 0:
            visit(name, [name])
    assert not circles


def test_every_folder_says_in_one_sentence_what_it_is_for():
    for folder in {file.parent for file in modules().values()}:
        doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert doc, folder


def test_nothing_outside_the_command_line_knows_argparse():
    users = [name for name, file in modules().items() if "argparse" in file.read_text(encoding="utf-8")]
    assert all(name.startswith(("deepcue.cli", "benchmarks")) for name in users), users

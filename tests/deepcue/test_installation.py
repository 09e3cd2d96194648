"""What a user reads when this Python does not find deepcue's packages, or finds others of their names."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deepcue import installation
from deepcue.cli import error_boundary

ROOT = Path(installation.__file__).resolve().parents[1]


def run(*words, cwd):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=clean | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_of_the_user_that_hides_a_package_is_named(tmp_path):
    """Non-regression test: `'features' is not a package`, and that this were a fault of deepcue."""
    (tmp_path / "features.py").write_text('raise SystemExit("it was run")')
    message = f"{tmp_path / 'features.py'} hides deepcue's package `features`; rename this file"
    command = run("-m", "deepcue", "--version", cwd=tmp_path)
    assert (command.returncode, command.stderr) == (2, f"error: {message}\n")
    script = run("-c", "import deepcue; print('imported'); deepcue.families", cwd=tmp_path)
    assert script.stdout.count("\n") == 1  # the import itself needs none of the packages
    assert script.stderr.splitlines()[-1] == f"ImportError: {message}"


def test_a_folder_that_hides_a_package_which_not_every_use_needs_is_named_where_it_is_needed(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "reports", raising=False)
    assert installation.hidden() == ""

    def fail():
        raise ModuleNotFoundError("No module named 'reports.html'", name="reports.html")

    assert error_boundary.guarded(fail) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'reports'} hides deepcue's package `reports`; rename this folder\n"
    )


def test_nothing_is_hidden_by_folders_without_modules(tmp_path, monkeypatch):
    for name in installation.PACKAGES:
        (tmp_path / name).mkdir()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installation.hidden(installation.PACKAGES) == ""


def test_a_python_without_the_dependencies_is_no_fault_of_deepcue(monkeypatch, capsys):
    """Non-regression test: `python3 extract/extract_all.py` asked for a report of the missing pyarrow."""
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)

    def fail():
        raise ModuleNotFoundError("No module named 'pyarrow.parquet'", name="pyarrow.parquet")

    assert error_boundary.guarded(fail) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: deepcue is not installed in this Python ({sys.executable} has no module 'pyarr")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("name", ["features.absent", "a_typo", None])
def test_another_import_that_fails_is_a_fault(name, capsys):
    def fail():
        raise ImportError("no", name=name)

    assert error_boundary.guarded(fail) == 1
    assert error_boundary.FAULT_NOTE in capsys.readouterr().err


def test_every_dependency_and_every_package_is_known():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {Requirement(line).name for line in project["project"]["dependencies"]} == set(installation.MODULE_OF)
    found = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert found == {"deepcue", *installation.PACKAGES}

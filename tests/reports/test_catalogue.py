import pytest

from deepcue.cli.main import main as deepcue
from features.discovery import families
from reports import catalogue, references


@pytest.fixture(scope="module")
def page():
    return catalogue.page()


def test_the_committed_page_is_up_to_date(capsys):
    assert deepcue(["cues", "--check"]) == 0, capsys.readouterr().err


def test_every_column_stands_in_its_familys_section(page):
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for one in families():
        for column in one.table_columns:
            row = f"| `{column.name.split('.', 1)[1]}` | {column.description} | {column.unit} |"
            assert row.replace("\\|", "|") in sections[one.name].replace("\\|", "|")


def test_a_section_says_when_its_columns_are_missing(page):
    """Non-regression test: what a family needs to measure anything was in the docstring of its function only."""
    section = page.partition("\n## blink\n")[2].partition("\n## ")[0]
    assert "\nMissing values: NaN if the eyes are seen for less than 3 s, or below 12 frames per second." in section
    assert page.count("\nMissing values: ") == len(families())


def test_every_row_of_every_table_is_of_one_width(page):
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("| ")]
    assert len(blocks) == 1 + len(families())
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1


def test_docstrings_are_shown_as_markdown(page):
    assert "`features.families.voice`" in page  # named by forensic_voice
    assert ":mod:" not in page
    assert "``" not in page


def test_direction_range_and_reference_are_shown(page):
    blink = page.split("\n## blink")[1].split("\n## ")[0]
    (count,) = [line for line in blink.splitlines() if line.startswith("| `count` |")]
    assert "| 1 | [0, ∞) | ↓ | Li et al. 2018 |" in count
    (share,) = [line for line in blink.splitlines() if line.startswith("| `valid_share` |")]
    assert "| 1 | [0, 1] | none |" in share


def test_an_old_page_is_found_and_mended(tmp_path, capsys):
    out = tmp_path / "docs" / "CUES.md"
    assert deepcue(["cues", "--check", "--out", str(out)]) == 2
    assert deepcue(["cues", "--out", str(out)]) == 0
    assert deepcue(["cues", "--check", "--out", str(out)]) == 0
    out.write_text(out.read_text(encoding="utf-8") + "x", encoding="utf-8")
    assert deepcue(["cues", "--check", "--out", str(out)]) == 2
    assert "run `make docs`" in capsys.readouterr().err


def test_cited_work_is_in_the_literature():
    assert references.unknown(column.reference for one in families() for column in one.table_columns) == []


def test_references_are_found_within_texts():
    (entry,) = references.entries(["picture against landmarks, after Li et al. 2018"])
    assert "In Ictu Oculi" in entry
    assert references.unknown(["after Nobody et al. 1999, and more"]) == ["Nobody 1999"]
    assert references.of_families(["no such family"]) == []

import json

import pytest

from deepcue.cli.main import main as deepcue
from features.errors import InputError
from reports.results_page import PROTOCOLS, ResultTable, filled, of_model, read_results, table_lines, write_results

PAGE = "# R\n\n<!-- table: a -->\nold\n<!-- end -->\n\nprose\n"


def table(**changed):
    entries = {
        "title": "T", "protocol": "unseen identities", "data": "clips", "n_clips": 9, "n_groups": 3,
        "command": "deepcue train", "date": "2026-11-26", "version": "0.1.0", "columns": ["model", "loss", "AUC"],
        "digits": [2, 3], "rows": [["stack", [0.381, 0.3, 0.45], 0.9], ["constant", "see b", None]], "notes": [],
    }  # fmt: skip
    return ResultTable(**entries | changed)


def test_a_table_is_printed_with_its_decimals_and_intervals():
    assert table_lines(table())[2:] == ["| stack | 0.38 [0.30, 0.45] | 0.900 |", "| constant | see b |  |"]


def test_a_page_gets_its_tables_and_keeps_its_prose():
    page = filled(PAGE, {"a": table()})
    assert "old" not in page
    assert "| stack |" in page
    assert page.endswith("<!-- end -->\n\nprose\n")
    assert filled(page, {"a": table()}) == page


def test_a_page_and_its_files_must_name_each_other():
    with pytest.raises(InputError, match=r"no a\.json"):
        filled(PAGE, {"b": table()})
    with pytest.raises(InputError, match=r"b\.json is not shown"):
        filled(PAGE, {"a": table(), "b": table()})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"protocol": "people new"}, "no protocol"),
        ({"digits": [1]}, "one number for each column"),
        ({"rows": [["stack", 1.0]]}, "2 cells under 3 heads"),
    ],
)
def test_what_can_not_be_printed_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        table(**changed)


def test_a_table_survives_its_file(tmp_path):
    write_results(table(), tmp_path / "a.json")
    assert read_results(tmp_path) == {"a": table()}


@pytest.mark.parametrize("text", ["{", "[]", '{"title": 1}', '{"unknown": 2}'])
def test_a_file_that_is_no_table_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: not a table"):
        read_results(tmp_path)


def test_scores_of_a_model_become_a_table():
    score = {"value": 0.5, "low": 0.4, "high": 0.6}
    manifest = {
        "summary": {"n_clips": 8, "n_groups": 4},
        "metrics": {"stack": dict.fromkeys(("log_loss", "auc", "brier", "ece", "eer"), score)},
    }
    made = of_model(
        manifest, title="T", protocol=PROTOCOLS[1], data="d", command="c", date="x", version="y", notes=[]
    )  # fmt: skip
    assert made.rows == [["stack", *[[0.5, 0.4, 0.6]] * 4]]
    assert (made.n_clips, made.n_groups) == (8, 4)


def test_the_command_writes_and_checks_a_page(tmp_path, capsys):
    page, data = tmp_path / "r.md", tmp_path / "r"
    data.mkdir()
    page.write_text(PAGE)
    write_results(table(), data / "a.json")
    assert deepcue(["results", "--page", str(page), "--check"]) == 2
    assert "run `make docs`" in capsys.readouterr().err
    assert deepcue(["results", "--page", str(page)]) == 0
    assert deepcue(["results", "--page", str(page), "--check"]) == 0


@pytest.mark.parametrize("name", ["my table", "v0.7", "a/b", "x\n"])
def test_a_name_that_no_page_can_show_is_refused(tmp_path, capsys, name):
    """Non-regression test: the file was written, and no comment of the page could name it."""
    command = ["results", "--page", str(tmp_path / "r.md"), "--from-model", "m", "--name", name]
    assert deepcue([*command, "--protocol", "unseen identities"]) == 2
    assert "can't be shown by a page" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_takes_the_shipped_model(tmp_path, capsys):
    from artifacts import PRETRAINED

    page = tmp_path / "r.md"
    command = ["results", "--page", str(page), "--from-model", str(PRETRAINED / "model"), "--name", "mine"]
    assert deepcue([*command, "--protocol", "unseen identities"]) == 0
    assert "constant" in {row[0] for row in json.loads((tmp_path / "r" / "mine.json").read_text())["rows"]}
    assert deepcue([*command, "--protocol", "new people"]) == 2
    assert "no protocol" in capsys.readouterr().err
    assert deepcue(command) == 2

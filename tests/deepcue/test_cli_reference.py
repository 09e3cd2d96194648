import dataclasses
import re
from pathlib import Path

import pytest

import deepcue
from deepcue.cli import reference
from deepcue.cli.main import COMMANDS
from deepcue.cli.main import main as deepcue_command
from features.errors import InputError

DOCS = Path(deepcue.__file__).parents[1] / "docs"


def test_the_pages_are_up_to_date():
    reference.write_or_check(reference.pages(DOCS), check=True)


def test_the_page_of_commands_has_a_section_for_each_and_their_examples():
    page = reference.command_page()
    assert re.findall(r"^## deepcue (.*)$", page, re.MULTILINE) == list(COMMANDS)
    assert page.count("example:") == len(COMMANDS)


def test_the_page_of_names_documents_every_public_name():
    documented = re.findall(r"^(?:## |- `)deepcue\.(\w+)", reference.api_page(), re.MULTILINE)
    assert sorted([*documented, "__version__"]) == sorted(deepcue.__all__)


@pytest.mark.parametrize("name", ["Observation", "Track", "ClipEvidence"])
def test_the_page_of_names_documents_every_field(name):
    """Non-regression test: strings below the fields of a class were dropped."""
    section = reference.api_page().partition(f"## deepcue.{name}\n")[2].partition("\n## ")[0]
    for field in dataclasses.fields(getattr(deepcue, name)):
        assert re.search(rf"^{field.name} : ", section, re.MULTILINE), field.name
    assert "[m, 68, 2] dlib/iBUG-68 points in px" in section or name != "Track"


def test_the_pages_are_free_of_sphinx_roles():
    assert not re.findall(r":\w+:`|(?<!`)``(?!`)", reference.api_page() + reference.command_page())


def test_pages_do_not_depend_on_the_terminal(monkeypatch):
    page = reference.command_page()
    monkeypatch.setenv("COLUMNS", "40")
    assert reference.command_page() == page


def test_a_page_that_was_edited_is_refused(tmp_path):
    files = {tmp_path / "docs" / "a.md": "text\n"}
    with pytest.raises(InputError, match="make docs"):
        reference.write_or_check(files, check=True)
    reference.write_or_check(files, check=False)
    reference.write_or_check(files, check=True)
    (tmp_path / "docs" / "a.md").write_text("text, edited\n")
    with pytest.raises(InputError, match="make docs"):
        reference.write_or_check(files, check=True)


@pytest.mark.parametrize("command", ["cues", "results", "reference"])
def test_a_page_that_can_not_be_written_is_one_sentence(tmp_path, monkeypatch, capsys, command):
    page = tmp_path / "page.md"
    page.write_text((DOCS / "results.md").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    if command == "reference":
        monkeypatch.setattr(reference, "pages", lambda folder: {page: "text"})
        status = reference.main([])
    else:
        options = {"cues": ["--out", str(page)], "results": ["--data", str(DOCS / "results"), "--page", str(page)]}
        status = deepcue_command([command, *options[command]])
    assert status == 2
    assert "can't be written (Read-only file system)" in capsys.readouterr().err


def test_check_is_an_exit_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "pages", lambda folder: {tmp_path / "a.md": "text"})
    assert reference.main(["--check"]) == 2
    assert "make docs" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0

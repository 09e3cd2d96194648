"""What the training commands ask for, refuse and show."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest

from deepcue.cli import face_scores, terminal, training_data, unseen_scores
from deepcue.cli.main import command_parser
from deepcue.cli.main import main as deepcue
from extract.dataset import find_clips
from features.errors import DatasetError, InputError
from training import folds
from training.faces import found_faces, labelled_images
from training.progress import tracked
from training.stacked_tables import stacked
from training.voice.data import TABLE_COLUMNS

FACE_DATA = ["--stills", "s", "--faces", "f", "--clips", "c"]


def help_of(command):
    return " ".join(command_parser(command).format_help().split())


@pytest.mark.parametrize("command", ["train-faces", "fit-contrast", "fit-projection", "train-voice"])
def test_the_help_names_every_column_that_the_data_need(command):
    """Non-regression test: the help said `see above`, with nothing above, or only `Parquet file of real faces`."""
    text = help_of(command)
    columns = ["filename", "label", "group", "method", "fake_part"]
    columns += (
        TABLE_COLUMNS if command == "train-voice" else [*labelled_images.STILLS_COLUMNS, *found_faces.FACES_COLUMNS]
    )
    assert [name for name in columns if name not in text] == []
    assert "see above" not in text


@pytest.mark.parametrize(
    ("command", "old", "new", "rest"),
    [
        ("oof", "--folds", "--folds-file", ["--table", "t", "--observations", "o", "--weights", "w", "--out", "x"]),
        ("unseen-scores", "--folds", "--folds-file", ["--table", "t"]),
        ("fit-projection", "--folds", "--training", [*FACE_DATA, "--weights", "w"]),
    ],
)
def test_renamed_options_keep_their_old_spelling(command, old, new, rest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = command_parser(command)
    assert parser.parse_args([*rest, old, "x.csv"]) == parser.parse_args([*rest, new, "x.csv"])
    assert parser.format_usage().count(f"{new} ") == 1


@pytest.mark.parametrize("text", ["-1", "two", "1.5"])
def test_workers_are_a_count(text, tmp_path, monkeypatch):
    """Non-regression test: -1 ended in a traceback, after the faces were cut."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is not a whole number, 0 or more"):
        command_parser("train-faces").parse_args([*FACE_DATA, f"--workers={text}"])
    assert command_parser("train-faces").parse_args([*FACE_DATA, "--workers=0"]).workers == 0


@pytest.mark.parametrize("words", ["forensic_cnn,cnn_embedding", "forensic_cnn cnn_embedding"])
def test_lists_of_names_are_read_with_commas_and_with_spaces(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rest = ["--table", "t", "--observations", "o", "--folds-file", "f", "--weights", "w", "--out", "x.parquet"]
    parsed = command_parser("oof").parse_args([*rest, "--families", *words.split()])
    assert parsed.families == ["forensic_cnn", "cnn_embedding"]
    assert command_parser("speak").parse_args(["--out", "x", "--systems", "flite,hts"]).systems == ["flite", "hts"]


@pytest.mark.parametrize("words", ["magic", "flite,magic", ","])
def test_unknown_names_are_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert deepcue(["speak", "--out", "x.parquet", "--systems", words]) == 2
    assert "kokoro, piper" in capsys.readouterr().err


@pytest.fixture
def scored(monkeypatch):
    """Folders that `face-scores` scored; it needs no networks."""
    folders = []
    monkeypatch.setattr(face_scores, "scores_of_folds", lambda folder, *_, **__: folders.append(folder) or {})
    monkeypatch.setattr(face_scores, "probe_scores", lambda folder: folders.append(folder) or {})
    return folders


@pytest.mark.parametrize(
    ("words", "trained", "written"),
    [
        ("--training a --out b", "a", "b/scores.json"),
        ("--training a", "a", "a/scores.json"),
        ("--out a", "a", "a/scores.json"),  # as before --training
        ("", "artifacts/cnn", "artifacts/cnn/scores.json"),
        ("--training a --out b --probe", "a", "b/probe_scores.json"),
    ],
)
def test_scores_are_read_from_a_training_and_written_to_a_folder(
    scored, words, trained, written, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert deepcue(["face-scores", *words.split()]) == 0
    assert [str(folder) for folder in scored] == [trained]
    assert (tmp_path / written).is_file()


@pytest.mark.parametrize(
    "option", ["--results res", "--networks residual_fold", "--frames 3", "--before-interpolation", "--data-set mine"]
)
def test_the_probe_refuses_options_that_it_would_ignore(scored, option, tmp_path, monkeypatch, capsys):
    """Non-regression test: `--probe --results DIR` wrote no tables, with status 0."""
    monkeypatch.chdir(tmp_path)
    assert deepcue(["face-scores", "--training", "a", "--probe", *option.split()]) == 2
    assert f"--probe can't be combined with {option.split()[0]}" in capsys.readouterr().err
    assert scored == []


@pytest.mark.parametrize(
    "command",
    [["face-scores", "--training", "none"], ["average", "none", "--out", "y"], ["still-scores", "none"]],
    ids=lambda words: words[0],
)
def test_a_missing_file_is_called_missing(command, tmp_path, monkeypatch, capsys):
    """Non-regression test: a typo led to the advice to train the weights again, or to "no CSV of filename,fold"."""
    monkeypatch.chdir(tmp_path)
    assert deepcue(command) == 2
    message = capsys.readouterr().err
    assert "no such file" in message
    assert "train them again" not in message


def test_a_fold_file_says_what_is_wrong_with_it(tmp_path):
    file = tmp_path / "folds.csv"
    file.write_text("filename,fold\na.mp4,first\n")
    with pytest.raises(DatasetError, match=r"not a CSV file with the columns filename,fold \(invalid literal"):
        folds.read(file)


@pytest.mark.parametrize("text", ["\ufefffilename\na.mp4\n", "filename;label\na.mp4;FAKE\n"])
def test_a_subset_may_be_any_manifest(text, tmp_path):
    """Non-regression test: a manifest with a byte-order mark, or with semicolons, was refused."""
    file = tmp_path / "subset.csv"
    file.write_text(text)
    assert unseen_scores._filenames(file) == {"a.mp4"} == {clip.filename for clip in find_clips(str(file))}


def test_progress_is_reported_before_the_first_item_and_after_each():
    calls = []
    assert list(tracked(iter("ab"), "letters", 2, lambda *call: calls.append(call))) == ["a", "b"]
    assert calls == [("letters", 0, 2), ("letters", 1, 2), ("letters", 2, 2)]


@pytest.mark.parametrize("quiet", [False, True])
def test_bars_are_drawn_by_stage_unless_quiet(quiet, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with terminal.stage_progress(quiet=quiet) as progress:
        for report in (("base", 3, 5), ("faces", 0, 2), ("faces", 2, 2), ("base", 5, 5), ("none", 0, 0)):
            progress(*report)
    assert ("base" in shown.getvalue(), "faces" in shown.getvalue()) == (not quiet, not quiet)


@pytest.mark.parametrize("command", ["oof", "train-faces", "train-voice", "fit-contrast", "fit-projection", "speak"])
def test_commands_with_bars_can_be_quiet(command):
    assert "--quiet" in help_of(command)


def test_settings_of_a_face_training_are_those_of_the_options(tmp_path):
    words = [*FACE_DATA, "--weights", "w", "--leave-out", "people", "--hold-out", "1/3", "--seed", "7"]
    arguments = command_parser("fit-projection").parse_args(words)
    settings = training_data.face_training(arguments, tmp_path)
    assert (settings.leave_out, settings.hold_out, settings.out) == ("people", (1, 3), tmp_path)
    assert settings.seed == 0  # the option is the seed of the sample


def small_table(**metadata):
    from features import discovery, table

    schema = table.schema(discovery.families(["blink"]), extractor="test")
    names = [name for name in schema.names if name not in table.BASE_COLUMNS]
    base = dict(filename=["a.mp4"], label=["REAL"], group=["g"], source=[None], status=["ok"], error=[""])
    base |= dict(duration_s=[1.0], n_frames=[9], n_faces=[1])
    made = table.build(base, np.zeros((1, len(names)), np.float32), schema)
    described = table.description(made) | metadata
    return made.replace_schema_metadata({table.METADATA_KEY: json.dumps(described)})


def test_tables_are_stacked_by_a_command(tmp_path, monkeypatch, capsys):
    """Non-regression test: the recipe of docs/results.md needed a Python function."""
    from features import table

    monkeypatch.chdir(tmp_path)
    for name in ("t.parquet", "u.parquet"):
        table.write_table(small_table(), tmp_path / name)
    assert deepcue(["stack-tables", "t.parquet", "u.parquet", "--out", "both.parquet"]) == 0
    both = table.read_table(tmp_path / "both.parquet")
    assert (both["filename"].to_pylist(), both["group"].to_pylist()) == (["0/a.mp4", "1/a.mp4"], ["g", "g"])
    assert "both.parquet: 2 rows of 2 tables" in capsys.readouterr().out


def test_tables_that_do_not_agree_are_not_stacked():
    first = small_table()
    with pytest.raises(DatasetError, match=r"tables 0 and 1 differ in 1 columns, such as blink\."):
        stacked([first, first.drop_columns(first.column_names[-1:])])
    position, field = first.column_names.index("n_faces"), pa.field("n_faces", pa.string())
    with pytest.raises(DatasetError, match="such as n_faces"):
        stacked([first, first.set_column(position, field, pa.array(["1"]))])
    with pytest.raises(DatasetError, match="different versions of blink"):
        stacked([first, small_table(families={"blink": -1})])
    reordered = first.select(first.column_names[::-1])
    assert stacked([first, reordered]).column_names == first.column_names

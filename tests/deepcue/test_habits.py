"""Habits at the command line: what can't be written is refused before the work, an interrupt says what is kept."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from deepcue.cli import main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(main.__file__)))

OUTPUTS = {
    "predict": [("clip.mp4", "--report", "file"), ("clip.mp4", "--work", "folder")],
    "submit": [("--test d --sample s.csv", "--out", "file"), ("--test d --sample s.csv --out o", "--work", "folder")],
    "import-csv": [("cues.csv", "--out", "file")],
    "norms": [("--table t.parquet", "--out", "file")],
    "stills": [("faces", "--out", "file")],
    "oof": [("--table t --observations o --folds f --weights w", "--out", "file")],
    "stack-tables": [("t.parquet", "--out", "file")],
    "average": [("a.safetensors", "--out", "file")],
    "coverage": [("d --observations o", "--sheet", "file")],
    "train-faces": [("--stills s --faces f --clips c", "--out", "folder")],
    "train-voice": [("--clips c", "--out", "folder")],
    "face-scores": [("", "--out", "folder")],
    "demo-data": [("", "", "folder")],
    "train": [("--table t.parquet", "--out", "folder")],
    "tune": [("--table t.parquet", "--out", "folder")],
    "ablate": [("--table t.parquet", "--out", "file")],
    "report": [("--table t.parquet --model m", "--out", "file")],
}
CASES = [(name, *case) for name, cases in OUTPUTS.items() for case in cases]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a file and a folder in it."""
    (tmp_path / "a_file").touch()
    (tmp_path / "a_folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "words", "option", "kind"), CASES)
def test_an_output_that_cant_be_written_is_refused_before_the_work(name, words, option, kind, here, capsys):
    for bad in ("a_file/x.png", "a_folder.png" if kind == "file" else "a_file"):
        assert main.main([name, *shlex.split(words), *([option] if option else []), bad]) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert "is a file" in printed or "is a folder" in printed
    assert {path.name for path in here.iterdir()} == {"a_file", "a_folder.png"}


@pytest.mark.parametrize(("name", "words", "option", "kind"), CASES)
def test_a_url_where_a_path_is_needed_is_refused_before_the_work(name, words, option, kind, here, capsys):
    """Non-regression test: results went to a folder called `s3:`."""
    assert main.main([name, *shlex.split(words), *([option] if option else []), "s3://bucket/x.png"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "s3://bucket/x.png: is a URL, and only a path can be written here; give a path" in printed
    assert {path.name for path in here.iterdir()} == {"a_file", "a_folder.png"}


@pytest.mark.parametrize(("name", "words", "option", "kind"), [case for case in CASES if case[3] == "file"])
def test_a_device_is_refused_and_not_replaced(name, words, option, kind, here, capsys):
    """Non-regression test: `--out /dev/null`, as root, left a file in its place."""
    os.mkfifo(here / "pipe.png")
    assert main.main([name, *shlex.split(words), option, "pipe.png"]) == 2
    assert (
        "pipe.png: is a device or a pipe, which would be replaced; give the name of a file" in capsys.readouterr().err
    )
    assert (here / "pipe.png").is_fifo()


READS = [
    "predict {} --report {}",
    "submit --test d --sample {} --out {}",
    "submit --test d --sample s --table {} --out {}",
    "import-csv {} --out {}",
    "norms --table {} --out {}",
    "report --table {} --model m --out {}",
    "report --table t --model m --ablation {} --out {}",
    "ablate --table {} --out {}",
    "ablate --table t --folds-file {} --out {}",
    "average one {} --out {}",
    "coverage {} --observations o --sheet {}",
    "stills {} --out {}",
    "stills s --into {} --out {}",
    "oof --table one {} --observations o --folds f --weights w --out {}",
    "oof --table t --observations o --folds f {} --weights w --out {}",
    "extract {} --out {}",
]


@pytest.mark.parametrize("out", ["a_file", "./a_file", "a_link"])
@pytest.mark.parametrize("words", READS)
def test_an_output_that_is_read_is_refused_before_the_work(words, out, here, capsys):
    """Non-regression test: `submit --table t.parquet --out t.parquet` left a CSV where the table was."""
    (here / "a_file").write_bytes(b"kept")
    (here / "a_link").symlink_to("a_file")
    assert main.main(shlex.split(words.format("a_file", out))) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert f"{out[-6:]}: is read by this command, which would replace it; give another name to write to" in printed
    assert (here / "a_file").read_bytes() == b"kept"
    assert {path.name for path in here.iterdir()} == {"a_file", "a_link", "a_folder.png"}


@pytest.mark.parametrize(("name", "words", "option", "kind"), CASES)
def test_a_name_that_is_too_long_is_refused_before_the_work(name, words, option, kind, here, capsys):
    """Non-regression test: it was said to be a fault of deepcue."""
    too_long = ["n" * 296 + ".png", "n" * 300 + "/x.png", *(["n" * 244 + ".png"] if kind == "file" else [])]
    for bad in too_long:  # the last has no room for the name under which it is written until it is complete
        assert main.main([name, *shlex.split(words), *([option] if option else []), bad]) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert "can't be written (File name too long); give another" in printed
    assert {path.name for path in here.iterdir()} == {"a_file", "a_folder.png"}


@pytest.mark.skipif(os.geteuid() == 0, reason="to the superuser every folder is open")
@pytest.mark.parametrize(("name", "words", "option", "kind"), CASES)
def test_a_folder_that_is_closed_is_refused_before_the_work(name, words, option, kind, here, capsys):
    (here / "closed").mkdir(mode=0)
    assert main.main([name, *shlex.split(words), *([option] if option else []), "closed/x.png"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "can't be written (Permission denied); give another" in printed


GOES_ON = "finished work is kept in {}; run the same command again to resume"
STOPPED = {
    "predict clip.mp4": "nothing is kept; with --work DIR finished clips would be",
    "predict clip.mp4 --work w": GOES_ON.format("w"),
    "predict clip.mp4 --report r.html": "nothing is kept; a single clip with --report is measured again from the start",
    "predict clip.mp4 --report r.html --work w": (
        "nothing is kept; a single clip with --report is measured again from the start"
    ),
    "predict . --report r.html --work w": GOES_ON.format("w"),
    "extract d --out t.parquet": GOES_ON.format("t.parquet.journal"),
    "extract d --out s3://b/t.parquet": GOES_ON.format("b_t.parquet.journal"),
    "extract d --out t.parquet --journal j": GOES_ON.format("j"),
    "extract d --out t.parquet --fresh": GOES_ON.format("t.parquet.journal").replace("again", "again without --fresh"),
    "submit --test d --sample s.csv --out s": GOES_ON.format("s.work"),
    "submit --test d --sample s.csv --out s --table t": "nothing is kept",
    "tune --table t --out t": GOES_ON.format("t"),
    "train --table t --out m": "nothing is kept",
    "forge d out": "finished clips stay in out, without labels; give another folder to start again",
}


@pytest.mark.parametrize("words", STOPPED)
def test_an_interrupt_says_in_one_line_what_is_kept(words, here, monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    name, *rest = shlex.split(words)
    monkeypatch.setattr(main.command_module(name), "run", stop)
    assert main.main([name, *rest]) == 128 + signal.SIGINT
    assert capsys.readouterr().err == f"\nstopped; {STOPPED[words]}\n"


def test_an_interrupt_ends_the_program_at_once_whatever_its_threads_do():
    """Non-regression test: `train` waited for its fits, or ended in a message of C++."""
    code = """
import threading, time
from deepcue.cli import main
def stop(_):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    print("printed before")
    raise KeyboardInterrupt
main.command_module("cues").run = stop
main.sys.argv = ["deepcue", "cues"]
raise SystemExit(main.program())
"""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 128 + signal.SIGINT
    assert run.stdout == "printed before\n"
    assert run.stderr == "\nstopped; nothing is kept\n"


@pytest.mark.parametrize(("before", "is_caught"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_terminal_that_is_closed_is_an_interrupt_unless_nohup_keeps_it(monkeypatch, before, is_caught):
    """Non-regression test: the program died without removing its temporary files."""
    seen = []
    monkeypatch.setattr(main, "main", lambda: seen.append(signal.getsignal(signal.SIGHUP)) or 0)
    was = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGHUP, before)
    try:
        assert main.program() == 0
    finally:
        signal.signal(signal.SIGTERM, was[0])
        signal.signal(signal.SIGHUP, was[1])
    assert (seen == [signal.default_int_handler]) == is_caught


def test_processes_that_are_started_import_nothing_from_the_current_folder(here, monkeypatch):
    """Those of ``--jobs 2``, for instance."""
    (here / "features.py").write_text("raise SystemExit('of the current folder')")
    started = []

    def start(_):
        code = "import features.errors"
        started.append(subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, check=False))

    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PYTHONPATH", ROOT)
    monkeypatch.setattr(main.command_module("cues"), "run", start)
    assert main.main(["cues"]) == 0
    assert started[0].returncode == 0
    assert "PYTHONSAFEPATH" not in os.environ


def test_a_script_may_run_in_a_folder_that_holds_its_own_artifacts(tmp_path):
    """The README's commands make such a folder; the package's own of that name must be found all the same."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "script.py").write_text("import artifacts, deepcue\nprint(artifacts.PRETRAINED.is_dir())\n")
    told = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=told, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout.strip()) == (0, "True"), run.stderr

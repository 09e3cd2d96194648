import argparse
import io
import os
import pkgutil
import re
import shlex
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

import deepcue
import deepcue.cli
from deepcue.cli import error_boundary, flags, main, parsing, run_outcome, terminal
from features.errors import InputError
from features.threads import usable_cores

ROOT = os.path.dirname(os.path.dirname(deepcue.__file__))
HEAVY = {"torch", "sklearn", "scipy", "cv2", "librosa", "lightgbm", "pyarrow", "numpy"}
NO_SUBCOMMANDS = {
    "error_boundary",
    "flags",
    "fold_options",
    "generated_pages",
    "main",
    "parsing",
    "reference",
    "run_outcome",
    "terminal",
    "training_data",
    "verdict_text",
}
SHARED = {
    "--jobs": flags.add_jobs,
    "--quiet": flags.add_quiet,
    "--json": flags.add_json,
    "--seed": flags.add_seed,
}


def command(*words, **options):
    """``deepcue`` in a process of its own, on a pipe."""
    environment = {**os.environ, **options.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "deepcue", *words],
        capture_output=True,
        env=environment,
        cwd=ROOT,
        check=False,
        **options,
    )


def actions(parser):
    return {option: action for action in parser._actions for option in action.option_strings}


def test_every_module_is_a_subcommand_and_every_subcommand_a_module():
    modules = {module.name for module in pkgutil.iter_modules(deepcue.cli.__path__)} - NO_SUBCOMMANDS
    assert {name.replace("-", "_") for name in main.COMMANDS} == modules


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_example_of_a_subcommand_is_one_of_it_and_can_be_parsed(name):
    for line in main.command_module(name).EXAMPLE.splitlines():
        program, subcommand, *words = shlex.split(line)
        assert (program, subcommand) == ("deepcue", name)
        main.command_parser(name).parsed(words)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_help_of_a_subcommand_says_what_it_does_and_shows_the_example(name):
    module, text = main.command_module(name), main.command_parser(name).format_help()
    assert module.__doc__.splitlines()[0] in " ".join(text.split())
    assert module.EXAMPLE in text
    assert "python -m" not in text


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_fits_the_terminal(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = main.command_parser(name).format_help().partition("\nexample:")[0].splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_option_has_a_sentence(name):
    silent = [action.dest for action in main.command_parser(name)._actions if not action.help]
    assert not silent


@pytest.mark.parametrize("name", main.COMMANDS)
@pytest.mark.parametrize("option", SHARED)
def test_an_option_means_the_same_everywhere(name, option):
    model = argparse.ArgumentParser()
    SHARED[option](model)
    wanted, found = actions(model)[option], actions(main.command_parser(name)).get(option)
    if found is None or (name, option) == ("serve", "--jobs"):  # a server leaves the machine's other cores free
        return
    assert type(found) is type(wanted)
    assert (found.type, found.default, found.help) == (wanted.type, wanted.default, wanted.help)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_help_of_a_subcommand_is_plain_text_that_names_defaults_in_one_way(name):
    parser = main.command_parser(name)
    text = parser.format_help()
    assert not re.findall(r":\w+:`|``", text)
    for action in parser._actions:
        shown = parser._get_formatter()._expand_help(action)
        is_a_value = isinstance(action.default, (int, float, str)) and action.default not in ("", "==SUPPRESS==", False)
        assert "(default" in shown or str(action.default) in shown or not is_a_value, action.option_strings


def test_help_is_freed_of_roles_and_double_backquotes():
    text = "see :func:`~extract.pipeline.extract`, :py:class:`deepcue.Model` and ``--jobs``\n```text\n```"
    assert parsing.plain(text) == "see `extract`, `deepcue.Model` and `--jobs`\n```text\n```"


def test_defaults_are_shown_in_one_style():
    parser = parsing.Parser(formatter_class=parsing.HelpFormatter)
    parser.add_argument("real", help="clips")
    parser.add_argument("--size", default=2.5, help="size in px")
    parser.add_argument("--names", default=["a", "b"], help="which")
    parser.add_argument("--folds", help="number of folds (default: as `train`)")
    parser.add_argument("--fast", action="store_true", help="hurry")
    text = " ".join(parser.format_help().split())
    for phrase in ("REAL clips", "px (default: 2.5)", "which (default: a,b)", "(default: as `train`) --fast hurry"):
        assert phrase in text


def test_the_catalogue_is_printed_and_written_only_where_asked(tmp_path, monkeypatch, capsys):
    """Non-regression test: `deepcue cues` made a folder `docs` wherever it was called."""
    monkeypatch.chdir(tmp_path)
    assert main.main(["cues"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Cues")
    assert not list(tmp_path.iterdir())
    assert main.main(["cues", "--out", "cues.md"]) == 0
    assert (tmp_path / "cues.md").read_text(encoding="utf-8") == printed
    assert main.main(["cues", "--out", "cues.md", "--check"]) == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("extract", "data --out x.parquet --resume"),
        ("train-faces", "--stills s --faces f --clips c --resume"),
        ("fit-projection", "--stills s --faces f --clips c --weights w --folds d"),
    ],
)
def test_earlier_options_are_accepted_and_not_shown(name, words):
    parser = main.command_parser(name)
    parser.parsed(words.split())
    assert next(word for word in reversed(words.split()) if word.startswith("--")) not in parser.format_help().split()


@pytest.mark.parametrize("words", [["--help"], ["help"], ["-h"]])
def test_help_lists_the_subcommands(words, capsys):
    assert main.main(words) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in main.COMMANDS)


def test_help_of_a_subcommand_by_either_word_order(capsys):
    assert main.main(["help", "cues"]) == 0
    first = capsys.readouterr().out
    assert main.main(["cues", "--help"]) == 0
    assert capsys.readouterr().out == first
    assert "deepcue cues" in first


def test_nothing_asked_is_an_error_that_shows_the_help(capsys):
    assert main.main([]) == 2
    assert "Train and evaluate:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "hint"),
    [("predcit", "did you mean `deepcue predict`?"), ("frobnicate", "`deepcue --help` lists them")],
)
def test_an_unknown_subcommand_suggests_a_near_one(word, hint, capsys):
    assert main.main([word]) == 2
    printed = capsys.readouterr().err
    assert printed == f"error: no subcommand is called {word!r}; {hint}\n"


def test_a_clip_in_place_of_a_subcommand_is_understood(tmp_path, capsys):
    (tmp_path / "a b.mp4").write_bytes(b"x")
    assert main.main([str(tmp_path / "a b.mp4")]) == 2
    assert f"`deepcue predict '{tmp_path}/a b.mp4'`" in capsys.readouterr().err


def test_an_option_that_is_refused_is_one_line(capsys):
    assert main.main(["cues", "--chekc"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: unrecognized arguments: --chekc; see `deepcue cues --help`\n"


def test_help_starts_quickly():
    code = "import sys; from deepcue.cli.main import main; main(['--help']); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert HEAVY.isdisjoint(name.split(".")[0] for name in printed.split())


def test_the_cues_are_known_without_what_measures_them():
    """Every command lists the families first; torch and scipy's statistics would cost each some seconds."""
    code = "import sys; from features import discovery; discovery.families(); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {"torch", "librosa", "sklearn", "scipy.stats", "scipy.signal"}.isdisjoint(printed.split())


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "deepcue", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"deepcue {deepcue.__version__}\n"


def outcome(action, capsys):
    return error_boundary.guarded(action), capsys.readouterr()


def test_a_fault_of_the_program_shows_its_traceback_once_and_says_so(capsys):
    def action():
        raise ZeroDivisionError("deep inside")

    status, printed = outcome(action, capsys)
    assert status == 1
    assert printed.err.count("Traceback") == 1
    assert printed.err.count("ZeroDivisionError: deep inside") == 1
    assert printed.err.endswith(f"{error_boundary.FAULT_NOTE}\n")


def test_the_users_error_is_one_line(capsys):
    def action():
        raise InputError("a.mp4: no such file; give a clip")

    status, printed = outcome(action, capsys)
    assert (status, printed.out, printed.err) == (2, "", "error: a.mp4: no such file; give a clip\n")


def test_an_interrupt_is_one_line(capsys):
    def action():
        raise KeyboardInterrupt

    status, printed = outcome(action, capsys)
    assert status == 128 + signal.SIGINT
    assert printed.err.strip().count("\n") == 0
    assert "Traceback" not in printed.err


def test_a_subcommand_may_give_an_exit_status(capsys):
    assert outcome(lambda: 3, capsys)[0] == 3
    assert outcome(lambda: None, capsys)[0] == 0


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_is_no_error(monkeypatch, name):
    """Non-regression test: `deepcue predict clip.mp4 >&-` ended in a traceback after all work was done."""
    monkeypatch.setattr(sys, name, None)

    def action():
        print("a result", flush=True)
        print("progress", file=sys.stderr, flush=True)

    assert error_boundary.guarded(action) == 0
    getattr(sys, name).close()


PRINTS = "import sys; from deepcue.cli.error_boundary import guarded; sys.exit(guarded(lambda: print({text})))"
BUFFERING = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


def into_a_closed_pipe(words, unbuffered):
    """Exit status, and what is said on stderr, when nobody reads the output."""
    child = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    child.stdout.close()
    printed = child.stderr.read()
    child.stderr.close()
    return child.wait(), printed


@BUFFERING
@pytest.mark.parametrize("text", ["'one line'", "'x\\n' * 1_000_000"], ids=["little", "much"])
def test_a_reader_that_goes_away_is_no_error(text, unbuffered):
    assert into_a_closed_pipe(["-c", PRINTS.format(text=text)], unbuffered) == (0, b"")


@BUFFERING
@pytest.mark.parametrize("words", [["--help"], ["cues", "--help"], ["--version"]])
def test_help_into_a_closed_pipe_is_silent(words, unbuffered):
    assert into_a_closed_pipe(["-m", "deepcue", *words], unbuffered) == (0, b"")


@BUFFERING
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_one_line(unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "deepcue", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: [Errno 28] No space left on device")
    assert done.stderr.count(b"\n") == 1


def test_what_a_terminal_cant_print_is_escaped():
    done = subprocess.run(
        [sys.executable, "-c", PRINTS.format(text=r"'caf\xe9 \udce9'")],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert done.stdout == b"caf\\xe9 \\udce9\n"


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x"])
def test_jobs_must_be_a_whole_number_above_0(text, capsys):
    assert main.main(["extract", "d", "--out", "o", "--jobs", text]) == 2
    assert f"{text!r} is not a whole number above 0" in capsys.readouterr().err


SEEDED = [name for name in main.COMMANDS if "--seed" in actions(main.command_parser(name))]


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("text", ["-1", "4294967296", "1.5", "x"])
def test_a_seed_that_is_none_is_refused_in_a_sentence(name, text, capsys):
    """Non-regression test: -1 ended in a traceback."""
    assert main.main([name, "--seed", text]) == 2
    assert f"--seed: '{text}' is not a whole number from 0 to 4294967295" in capsys.readouterr().err


def test_the_largest_seed_is_taken():
    assert flags.seed("4294967295") == 2**32 - 1


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x"])
def test_limits_must_be_numbers_above_0(text, capsys):
    assert main.main(["extract", "d", "--out", "o", f"--timeout={text}"]) == 2
    assert f"{text!r} is not a number above 0" in capsys.readouterr().err


def test_failed_clips_are_counted_by_error_with_an_example():
    """Non-regression test: of thousands of failed clips only the number of each status was shown."""
    errors = [("ok", ""), ("no_face", "no face found")]
    errors += [("timeout", f"took more than {seconds} CPU seconds") for seconds in (300, 60)]
    errors += [("unreadable", f"can't be read: /data/{number + 4}.mp4") for number in range(3)]
    errors += [("crashed", "out of memory")] * 4 + [("crashed", word) for word in ("by a", "by b", "by c")]
    names = [f"{number}.mp4" for number in range(len(errors))]
    status, error = zip(*errors, strict=True)
    assert run_outcome.failure_lines(pa.table({"filename": names, "status": status, "error": error})) == [
        "12 clips could not be measured:",
        "  4 crashed: out of memory (7.mp4, ...)",
        "  3 unreadable: can't be read: /data/4.mp4 (4.mp4, ...)",
        "  2 timeout: took more than 300 CPU seconds (2.mp4, ...)",
        "  1 crashed: by a (11.mp4)",
        "  1 crashed: by b (12.mp4)",
        "  1 with other errors, in the table's column error",
        "run the same command again to retry the 9 that crashed or ran out of time",
    ]
    measured = pa.table({"filename": ["a"], "status": ["ok"], "error": [""]})
    assert run_outcome.failure_lines(measured) == []


def test_a_failed_clip_is_named_on_one_line_and_retried_without_measuring_all_again():
    """Non-regression test: names were printed with their escape sequences, and --fresh was to be repeated."""
    table = pa.table({"filename": ["\x1b[31m.mp4"], "status": ["crashed"], "error": ["first\nsecond"]})
    assert run_outcome.failure_lines(table, fresh=True) == [
        "1 clip could not be measured:",
        r"  1 crashed: first\nsecond (\x1b[31m.mp4)",
        "run the same command again without --fresh to retry the 1 that crashed or ran out of time",
    ]


@pytest.mark.parametrize(("is_terminal", "least", "most"), [(True, 20, 42), (False, 3, 6)], ids=["terminal", "log"])
def test_progress_in_a_log_is_written_every_ten_seconds(monkeypatch, is_terminal, least, most):
    """Non-regression test: a run of days wrote a line for every clip."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    with terminal.clip_progress(quiet=False) as progress:
        for done in range(41):
            progress(done, 41, 0)
            now[0] += 1
    assert least <= sys.stderr.getvalue().count("clip/s") <= most


def test_tables_have_columns_of_equal_width():
    assert terminal.table_lines([("a", "bb"), ("ccc", "")]) == ["a    bb", "ccc"]


NEEDS_NO_FILE = {"cues", "demo-data", "speak"}


@pytest.mark.parametrize("name", [name for name in main.COMMANDS if name not in NEEDS_NO_FILE])
def test_an_example_whose_files_are_not_there_is_one_sentence(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in main.command_module(name).EXAMPLE.splitlines():
        assert main.main(shlex.split(line)[1:]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ")
        assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("group", "quota", "cores"),
    [("0::/", "max 100000", 8), ("0::/", "150000 100000", 2), ("0::/a/b", "50000 100000", 1), ("0::/", "x", 8)],
)
def test_jobs_are_as_many_as_the_process_may_use(tmp_path, monkeypatch, group, quota, cores):
    """Non-regression test: in a container with two cores of 64 there were 64 processes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    folder = tmp_path / group[3:].strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{quota}\n")
    (tmp_path / "own").write_text(f"1:name=systemd:/x\n{group}\n")
    assert usable_cores(tmp_path, tmp_path / "own") == cores
    assert usable_cores(tmp_path / "none", tmp_path / "own") == 8
    assert usable_cores(tmp_path, tmp_path / "none") == 8

"""The make targets hand on what the user gave, to the letter, and put nothing in its place."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepcue.cli.main import command_parser

ROOT = Path(__file__).resolve().parents[1]
SHOW = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
NAMES = {"DATA", "TABLE", "MODEL", "TEST", "SAMPLE", "VIDEO", "PORT", "JOBS", "SEED", "MFLAGS"}
AWKWARD = 'it\'s $HOME, $(b and "c" `d`; e.mp4'

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(target, *given, rc=0, **environment):
    """The arguments of each program that a target starts; the programs only print them."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name not in NAMES}
    command = ["make", "-s", "-o", ".venv/.ready", target, f"RUN={SHOW}", f"PY={SHOW}", *given]
    done = subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (rc == 0), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if rc == 0 else done.stderr


@pytest.mark.parametrize("model", ["artifacts/not_there", "my model", AWKWARD])
def test_a_model_that_was_given_is_passed_whether_it_exists_or_not(model):
    (predicted,) = make("predict", "VIDEO=clip.mp4", f"MODEL={model}")
    assert predicted == ["predict", "clip.mp4", "--model", model]
    (submitted,) = make("submission", "TEST=videos", f"MODEL={model}")
    assert submitted[-2:] == ["--model", model]


def test_without_a_model_the_program_chooses():
    assert make("predict", "VIDEO=clip.mp4") == [["predict", "clip.mp4"]]


def test_the_page_takes_clips_a_port_and_a_model_or_none_of_them():
    assert make("serve") == [["serve", "--port", "8765", "--work", "artifacts/serve"]]
    (served,) = make("serve", f"VIDEO={AWKWARD}", "PORT=0", "MODEL=my model")
    assert served == ["serve", AWKWARD, "--port", "0", "--work", "artifacts/serve", "--model", "my model"]


def test_a_model_in_the_environment_counts_as_given():
    assert make("predict", "VIDEO=clip.mp4", MODEL="mine") == [["predict", "clip.mp4", "--model", "mine"]]


@pytest.mark.parametrize("name", [AWKWARD, "two  blanks", "caf\u00e9.mp4"])
def test_names_arrive_as_they_were_typed(name):
    assert make("predict", f"VIDEO={name}") == [["predict", name]]
    assert make("predict", VIDEO=name) == [["predict", name]]


def test_a_name_that_begins_with_a_dash_is_no_option():
    assert make("predict", "VIDEO=-a b.mp4", "MODEL=-m") == [["predict", "./-a b.mp4", "--model", "./-m"]]
    assert make("report", "TABLE=a -b", "MODEL=m")[0][:3] == ["report", "--table", "a -b"]


def test_the_sample_is_beside_the_test_clips_unless_given():
    (submitted,) = make("submission", f"TEST={AWKWARD}")
    assert submitted[1:5] == ["--test", AWKWARD, "--sample", f"{AWKWARD}/sample_submission.csv"]


def test_data_is_extracted_even_where_a_table_exists(tmp_path):
    table = tmp_path / "my table.parquet"
    table.touch()
    extracted, trained, reported = make("ensemble", "DATA=my clips", f"TABLE={table}", "MODEL=m")
    assert extracted[:4] == ["extract/extract_all.py", "my clips", "--out", str(table)]
    assert trained[:5] == ["train", "--table", str(table), "--out", "m"]
    assert reported[-1] == "m/report.html"


@pytest.mark.parametrize("target", ["ensemble", "ablate", "tune"])
def test_data_of_the_environment_does_not_replace_the_table(target, tmp_path):
    """Non-regression test: a DATA that was exported for something else was extracted into the given table."""
    (table := tmp_path / "t.parquet").touch()
    called, *_ = make(target, f"TABLE={table}", DATA="elsewhere")
    assert called[:3] == ["train" if target == "ensemble" else target, "--table", str(table)]


@pytest.mark.parametrize("target", ["ensemble", "submission", "ablate", "demo"])
def test_the_number_of_processes_is_the_program_s_unless_given(target):
    """Non-regression test: nproc does not know the quota of a control group, which the program keeps to."""
    given = ["DATA=clips", "TABLE=s3://b/t.parquet", "TEST=videos"]
    assert not any("--jobs" in called for called in make(target, *given))
    for called in make(target, *given, "JOBS=3"):
        if called[0] not in {"report", "summary"}:
            assert called[called.index("--jobs") + 1] == "3"


@pytest.mark.parametrize("target", ["ensemble", "ablate", "tune"])
def test_a_table_may_be_a_url(target):
    assert make(target, "TABLE=s3://bucket/x.parquet")[0][:3] == [
        "train" if target == "ensemble" else target,
        "--table",
        "s3://bucket/x.parquet",
    ]


@pytest.mark.parametrize("target", ["ablate", "tune"])
def test_model_and_seed_are_passed_on(target):
    """Non-regression test: they were left out."""
    (called,) = make(target, "TABLE=s3://b/x.parquet", "MODEL=my model", "SEED=7")
    assert called[called.index("--seed") + 1] == "7"
    assert called[-2:] == ["--model", "my model"]
    assert "--model" not in make(target, "TABLE=s3://b/x.parquet")[0]


def test_training_networks_takes_the_seed_and_prediction_the_jobs():
    assert make("predict", "VIDEO=clips", "JOBS=3") == [["predict", "clips", "--jobs", "3"]]
    *_, voice = make("voice", "CLIPS=m.csv", "SEED=7", "UV=true")  # before it, unless it is there, what is spoken
    assert voice[voice.index("--seed") + 1] == "7"
    (cnn,) = make("cnn", "STILLS=s", "FACES=f", "CLIPS=m.csv", "SEED=7", "UV=true")
    assert cnn[cnn.index("--seed") + 1] == "7"


@pytest.mark.parametrize("extra", ["crops", AWKWARD])
def test_the_options_of_the_trainings_exist_and_their_files_arrive_as_they_were_typed(extra):
    """Non-regression test: a `$(` in CROPS or VOICES was expanded by make."""
    given = ("STILLS=s", "FACES=f", "CLIPS=m.csv", "UV=true")
    (cnn,) = make("cnn", *given, f"CROPS={extra}")
    *_, voice = make("voice", *given, f"VOICES={extra}", "JOBS=2")
    parsed = [command_parser(name).parse_args(words) for name, *words in (cnn, voice)]
    assert (str(parsed[0].crops), str(parsed[1].voices[0])) == (extra, extra)


def test_a_table_that_is_not_there_is_an_error_that_says_what_to_give():
    message = make("ensemble", "TABLE=not there.parquet", rc=2)
    assert "error: no table at not there.parquet; give DATA=folder" in message


@pytest.mark.parametrize(
    ("target", "name"),
    [("predict", "VIDEO"), ("submission", "TEST"), ("bench", "DATA"), ("voice", "CLIPS"), ("cnn", "STILLS")],
)
def test_a_target_says_what_it_needs(target, name):
    assert f"error: give {name}=" in make(target, rc=2)


def test_training_networks_needs_faces_and_clips_as_well():
    """Non-regression test: `make cnn STILLS=dir` started with empty paths."""
    assert "error: give FACES=" in make("cnn", "STILLS=s", "CLIPS=c", "UV=true", rc=2)
    assert "error: give CLIPS=" in make("cnn", "STILLS=s", "FACES=f", "UV=true", rc=2)

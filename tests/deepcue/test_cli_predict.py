import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
from toy_model import FAMILIES, FakeModel, toy_model, toy_table

from deepcue.cli import predict, verdict_text
from deepcue.cli.main import main as deepcue
from ensemble import store, verdict, wording
from ensemble.missingness import SENTENCES
from ensemble.store import load_model
from extract.run.sandbox import Limits
from extract.run.worker import MAX_SECONDS
from features.errors import ModelError
from features.reasons import Reason
from features.table import write_table

ROOT = Path(predict.__file__).parents[2]


def judged(base, contributions, **made):
    return verdict.judge(FakeModel(base, contributions), toy_table(1, len(base), **made))


def test_both_signs_are_drawn_on_their_own_side_of_the_axis():
    (one,) = judged([0.0], {"blink": [2.0], "lip_sync": [-1.0], "quality": [0.0]})
    lines = {line.split()[0]: line for line in verdict_text.clip_lines(one, mark="#") if "|" in line}
    fake, real = lines["blink"].split("|"), lines["lip_sync"].split("|")
    assert fake[0].count("#") == 0
    assert fake[1].count("#") == verdict_text.BAR_WIDTH
    assert real[0].count("#") == verdict_text.BAR_WIDTH // 2
    assert real[1].count("#") == 0
    assert "#" not in lines["quality"]


def test_a_small_contribution_has_a_short_bar_also_where_it_is_the_largest():
    """Non-regression: the only contribution filled the width, whatever it was."""
    (one,) = judged([0.0], {"blink": [0.25], "lip_sync": [0.0], "quality": [0.0]})
    (line,) = [line for line in verdict_text.clip_lines(one, mark="#") if "blink" in line and "|" in line]
    assert line.count("#") == verdict_text.BAR_WIDTH // 4


@pytest.mark.parametrize("width", [66, 80])
def test_on_a_terminal_no_sentence_is_broken_by_the_terminal(width):
    (one,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "quality": [0.0]}, without_audio=[0])
    one = dataclasses.replace(one, n_faces=2, status="partial", error="; ".join(["the file's timestamps jump"] * 5))
    lines = verdict_text.clip_lines(one, width=width)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == " ".join(" ".join(verdict_text.clip_lines(one)).split())
    described = lines[lines.index("  what each measures") :]
    assert any(line.startswith(" " * 20) for line in described) == (width == 66)  # goes on in its own column


def test_rounding_of_a_sum_is_no_evidence():
    (one,) = judged([0.0], {"blink": [2.0], "lip_sync": [0.0], "quality": [-1e-16]})
    (line,) = [line for line in verdict_text.clip_lines(one, mark="#") if "quality" in line and "|" in line]
    assert "+0.00" in line
    assert "#" not in line


def test_each_contributing_family_shows_its_description():
    (one,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "of_another": [0.5]}, without_audio=[0])
    output = "\n".join(verdict_text.clip_lines(one))
    assert "how often, how far and how fast the eyes shut" in output
    assert "whether the lips move" not in output  # nothing was measured of it
    asked = output.split("what each measures")[1]
    assert "of_another" not in asked


def test_a_number_at_the_models_bound_is_no_measurement():
    """Non-regression: it was printed like any other."""
    model = FakeModel([np.log(0.97 / 0.03)], {name: [0.0] for name in FAMILIES}, clip=0.03)
    (one,) = verdict.judge(model, toy_table(1, 1))
    assert "P(FAKE) = 0.970 or more   likely fake" in verdict_text.clip_lines(one)[1]
    assert verdict_text.table_lines([one])[1].startswith("0.970 or more")


def test_beyond_the_models_limit_the_contributions_stay_and_a_line_closes_the_sum():
    """Non-regression: every part was multiplied so that the sum was the limit, and nothing said so."""
    model = FakeModel([0.0], {"blink": [8.0], "lip_sync": [-0.5], "quality": [0.0]}, clip=0.03)
    (one,) = verdict.judge(model, toy_table(1, 1))
    assert (one.log_odds_by_family["blink"], one.log_odds_by_family["lip_sync"]) == (8.0, -0.5)
    assert one.as_dict()["log_odds_limit"] == pytest.approx(np.log(0.97 / 0.03) - 7.5)
    lines = verdict_text.clip_lines(one)
    assert "  limit of the model   -4.02" in lines
    assert "  sum                  +3.48 or more" in lines
    inside = verdict_text.clip_lines(judged([0.0], {"blink": [1.0], "lip_sync": [0.0], "quality": [0.0]})[0])
    assert "  sum                  +1.00" in inside
    assert not any("limit" in line for line in inside)


def test_silent_clip_says_that_lip_sync_needs_audio():
    (one,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "quality": [0.0]}, without_audio=[0])
    assert one.unmeasured == {"lip_sync": "the clip has no audio"}
    assert "lip_sync" not in one.log_odds_by_family
    assert one.log_odds_unmeasured == pytest.approx(0.25)
    assert any("lip_sync" in line and "no audio" in line for line in verdict_text.clip_lines(one))


def test_that_a_clip_is_silent_is_said_by_its_status_and_its_families_alone():
    (silent,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "quality": [0.0]}, without_audio=[0])
    lines = verdict_text.clip_lines(silent)
    assert [line for line in lines if "no_audio" in line or "no audio" in line] == [
        "  4.0 s, 100 frames, 1 face, status no_audio",
        f"  {'lip_sync':<18}the clip has no audio",
    ]
    cut = verdict_text.clip_lines(dataclasses.replace(silent, error="no audio; only the first 60 s were analysed"))
    assert "  warnings: only the first 60 s were analysed" in cut


def test_several_clips_are_sorted_by_probability_and_those_without_a_finding_come_last():
    verdicts = judged([-1.0, 2.0, 1.0], {name: [0.0] * 3 for name in FAMILIES}, without_cues=[1])
    assert [one.filename for one in verdict.ranked(verdicts)] == ["clip002.mp4", "clip000.mp4", "clip001.mp4"]
    lines = verdict_text.table_lines(verdicts)
    assert lines[0].startswith("P(FAKE)")
    assert [line.split()[-1] for line in lines[1:4]] == ["clip002.mp4", "clip000.mp4", "clip001.mp4"]
    assert [line.split()[0] for line in lines[1:4]] == ["0.731", "0.269", "-"]  # 0.5 would be a finding
    assert lines[4:] == ["", f"clip001.mp4: nothing measured ({verdicts[1].error})"]
    lines = verdict_text.clip_lines(verdicts[1])
    assert lines[1] == "  P(FAKE) = -   nothing measured"
    assert lines[-1] == f"  {wording.NOTE_NO_FINDING}", "no word of a number that is not there"


def test_of_silence_a_list_does_not_say_that_it_was_measured():
    """Non-regression test: it said "nothing measured (no video in the file, only its audio was measured)"."""
    (one,) = judged([0.0], {name: [0.0] for name in FAMILIES}, without_cues=[0])
    error = "no video in the file, only its audio was measured; only the first 60 s were analysed"
    silence = dataclasses.replace(one, filename="a.wav", status="no_face", error=error, n_frames=0)
    silence = dataclasses.replace(silence, unmeasured={"forensic_voice": SENTENCES[Reason.UNUSABLE]})
    why = "no video in the file, and no speech was found in its audio; only the first 60 s were analysed"
    assert verdict_text.table_lines([silence])[-1] == f"a.wav: nothing measured ({why})"
    assert dataclasses.replace(silence, verdict="uncertain").reason == error


def test_one_frame_is_not_called_frames():
    (one,) = judged([0.0], {name: [1.0] for name in FAMILIES})
    assert verdict_text.clip_lines(dataclasses.replace(one, n_frames=1))[2] == "  4.0 s, 1 frame, 1 face, status ok"


@pytest.mark.parametrize(("status", "ends_with"), [("timeout", 2), ("unreadable", 0)])
def test_a_clip_that_ran_out_of_time_is_no_success(
    tmp_path, monkeypatch, model_folder, extracted, capsys, status, ends_with
):
    """That a file can't be read is an answer; that there was no time to measure it is none, as in ``extract``."""
    clip = tmp_path / "a.mp4"
    clip.touch()
    table = toy_table(1, 1, labelled=False, without_cues=[0])
    table = table.set_column(table.schema.get_field_index("status"), "status", [[status]])
    monkeypatch.setattr(predict, "extract", lambda *_, **__: table)
    for options in ([], ["--json"]):
        assert deepcue(["predict", str(clip), "--model", str(model_folder), *options]) == ends_with
        printed = capsys.readouterr()
        assert "nothing measured" in printed.out
        assert ("nothing was measured: the clip is timeout" in printed.err) == (ends_with == 2)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict") / "model"
    toy_model(toy_table(), folder)
    return folder


@pytest.fixture
def extracted(monkeypatch):
    """Extraction by a stand-in: the table of a set of clips, and the calls that were made."""
    calls = []

    def extract(data, *, families, **_):
        calls.append((data, families))
        if isinstance(data, str):
            return toy_table(1, 3, labelled=False, seed=5)
        table = toy_table(1, 1, labelled=False, seed=5)
        return table.set_column(0, "filename", [[clip.filename for clip in data]])

    monkeypatch.setattr(predict, "extract", extract)
    return calls


def test_a_clip_is_judged_under_its_own_name(tmp_path, model_folder, extracted, capsys):
    clip = tmp_path / "holiday (1).mp4"
    clip.write_bytes(b"x")
    assert deepcue(["predict", str(clip), "--model", str(model_folder)]) == 0
    output = capsys.readouterr().out
    assert output.startswith("holiday (1).mp4\n")
    assert "evidence, not proof" in output
    assert "SYNTHETIC" in output
    assert sorted(extracted[0][1]) == sorted(FAMILIES)


def test_json_of_a_folder_agrees_with_the_model(tmp_path, model_folder, extracted, capsys):
    assert deepcue(["predict", str(tmp_path), "--model", str(model_folder), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    expected = sorted(load_model(model_folder).predict(toy_table(1, 3, labelled=False, seed=5)), reverse=True)
    assert [one["probability"] for one in output["clips"]] == pytest.approx(expected)
    for one in output["clips"]:
        total = one["log_odds_base"] + sum(one["log_odds_by_family"].values()) + one["log_odds_unmeasured"]
        total += one["log_odds_limit"]
        assert 1 / (1 + np.exp(-total)) == pytest.approx(one["probability"])


def test_a_report_of_clips_stands_alone(tmp_path, model_folder, extracted):
    page = tmp_path / "page.html"
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert deepcue(["predict", str(tmp_path), "--model", str(model_folder), "--report", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert text.count('<section id="clip') == 3
    assert "Synthetic training data" in text


def test_a_missing_clip_is_one_sentence_and_status_2(tmp_path, model_folder, capsys):
    assert deepcue(["predict", str(tmp_path / "gone.mp4"), "--model", str(model_folder)]) == 2
    output = capsys.readouterr().err
    assert "gone.mp4: no such file" in output
    assert output.count("\n") == 1


def test_without_any_model_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHIPPED_MODEL", tmp_path / "b")
    with pytest.raises(ModelError, match="make ensemble"):
        store.default_model()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    assert store.default_model(tmp_path / "a") == tmp_path / "a"
    assert store.default_model(tmp_path / "gone") == store.default_model() == tmp_path / "b"


def test_the_library_does_not_answer_by_where_it_is_called_from(tmp_path, monkeypatch):
    (tmp_path / "artifacts" / "model").mkdir(parents=True)
    (tmp_path / "artifacts" / "model" / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert store.default_model() == store.SHIPPED_MODEL
    assert store.default_model(store.LOCAL_MODEL) == store.LOCAL_MODEL


def test_a_clip_is_measured_whatever_its_name_ends_in(tmp_path, monkeypatch, model_folder):
    (tmp_path / "noext").write_bytes(b"abc")
    seen = {}

    def extract(data, **options):
        seen.update(options, clips=[(clip.filename, clip.path) for clip in data])
        return toy_table(1, 1)

    monkeypatch.setattr(predict, "extract", extract)
    command = ["predict", str(tmp_path / "noext"), "--model", str(model_folder), "--quiet"]
    assert deepcue(command) == 0
    assert seen["clips"] == [("noext", str(tmp_path / "noext"))]
    assert seen["out"] is None
    assert (seen["limits"], seen["max_seconds"]) == (Limits(), MAX_SECONDS)
    assert deepcue([*command, "--timeout", "9", "--max-memory", "900", "--max-seconds", "5"]) == 0
    assert (seen["limits"], seen["max_seconds"]) == (Limits(timeout_s=9, memory_mb=900), 5)


ODD_NAMES = [b"a.mp4 ", b"two\nlines.mp4", b"-dash.mp4", b"caf\xc3\xa9.mp4", b"caf\xe9.mp4", b"noext", b"table.csv.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_printed_on_one_line(tmp_path, monkeypatch, model_folder, extracted, capsys, name):
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(name)).write_bytes(b"x")
    assert deepcue(["predict", "--model", str(model_folder), "--", os.fsdecode(name)]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == name.decode("utf-8", "backslashreplace").replace("\n", r"\n")
    assert "P(FAKE)" in output[1]
    ((clip,), _), *_ = extracted
    assert clip.path == os.path.join(tmp_path, os.fsdecode(name))


def test_a_clip_whose_name_begins_with_a_dash_gets_a_hint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("-dash.mp4").write_bytes(b"x")
    assert deepcue(["predict", "-dash.mp4"]) == 2
    assert capsys.readouterr().err == "error: -dash.mp4 looks like an option; write ./-dash.mp4 for the file\n"


def test_a_url_of_a_clip_is_a_clip_and_of_a_folder_a_data_set(model_folder, extracted):
    fsspec.filesystem("memory").pipe("/bucket/a.mp4", b"x")
    options = ["--model", str(model_folder), "--quiet"]
    assert deepcue(["predict", "memory://bucket/a.mp4", *options]) == 0
    assert deepcue(["predict", "memory://bucket/clips", *options]) == 0
    (clips, _), (url, _) = extracted
    assert [(clip.filename, clip.path) for clip in clips] == [("a.mp4", "memory://bucket/a.mp4")]
    assert url == "memory://bucket/clips"


@pytest.fixture(scope="module")
def table_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("table") / "features.parquet"
    write_table(toy_table(25, 4, labelled=False, seed=5), file)
    return file


def test_a_feature_table_is_judged_as_it_is(table_file, model_folder, extracted, capsys):
    assert deepcue(["predict", str(table_file), "--model", str(model_folder), "--json"]) == 0
    clips = json.loads(capsys.readouterr().out)["clips"]
    assert len(clips) == 100
    assert {clip["passages"] for clip in clips} == {None}  # looked for with --report alone
    assert not extracted


@pytest.mark.parametrize("name", ["f.csv", "table"])
def test_a_feature_table_is_known_by_how_it_begins(table_file, tmp_path, model_folder, extracted, capsys, name):
    """Non-regression test: a table that was written as f.csv was said to be no CSV manifest."""
    (tmp_path / name).write_bytes(table_file.read_bytes())
    assert deepcue(["predict", str(tmp_path / name), "--model", str(model_folder), "--json"]) == 0
    clips = json.loads(capsys.readouterr().out)["clips"]
    assert len(clips) == 100
    assert {clip["passages"] for clip in clips} == {None}  # looked for with --report alone
    assert not extracted


def run_predict(table_file, model_folder, *words, **environment):
    words = [sys.executable, "-m", "deepcue", "predict", str(table_file), "--model", str(model_folder), *words]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}, cwd=ROOT
    )


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [[], ["--json"]], ids=["table", "json"])
def test_a_reader_of_the_first_line_alone_ends_it_silently(table_file, model_folder, words, unbuffered):
    child = run_predict(table_file, model_folder, *words, PYTHONUNBUFFERED=unbuffered)
    child.stdout.read(20)
    child.stdout.close()
    with child.stderr:
        assert child.stderr.read() == b""
    assert child.wait() == 0


def test_a_terminal_of_ascii_gets_bars_and_names_that_it_can_show(tmp_path, model_folder):
    table = toy_table(1, 1)
    write_table(table.set_column(0, "filename", [["caf\xe9.mp4"]]), tmp_path / "t.parquet")
    output, wrong = run_predict(tmp_path / "t.parquet", model_folder, PYTHONIOENCODING="ascii").communicate()
    assert wrong == b""
    assert output.startswith(b"caf\\xe9.mp4\n")
    assert b" | #" in output or b"# |" in output


def test_a_clip_that_is_not_at_its_url_is_an_error(tmp_path, capsys):
    """Non-regression test: it was P 0.500 with exit status 0."""
    url = f"{tmp_path.as_uri()}/nope.mp4"
    assert deepcue(["predict", url]) == 2
    assert f"error: {url}: no such file; give a clip or a folder of clips\n" == capsys.readouterr().err


def two_clips():
    """Verdicts on two clips of one moving face, with all its detail, that is there throughout."""
    made = judged([0.0, 1.0], {name: [0.0] * 2 for name in FAMILIES})
    return [dataclasses.replace(one, still=False, lacks_detail=False, seen_share=1.0) for one in made]


def test_a_list_says_that_some_numbers_rest_on_little():
    one, two = two_clips()
    short = dataclasses.replace(two, n_frames=3, duration_s=0.12)
    assert verdict_text.list_notes([one, short]) == [wording.NOTE_LITTLE_OF_LIST, wording.NOTE]
    assert verdict_text.list_notes([one, dataclasses.replace(short, verdict=verdict.NOTHING)]) == [wording.NOTE]
    blurred = dataclasses.replace(one, lacks_detail=True)
    assert verdict_text.list_notes([one, blurred]) == [wording.NOTE_NO_DETAIL_OF_LIST, wording.NOTE]


def test_a_list_says_which_face_counts_where_a_clip_has_several():
    one, two = two_clips()
    of_two_people = dataclasses.replace(two, n_faces=2)
    assert verdict_text.list_notes([one, two]) == [wording.NOTE]
    several, note = verdict_text.list_notes([one, of_two_people])
    assert several == f"Some clips have several faces. {of_two_people.main_face}"
    assert note == wording.NOTE
    assert verdict_text.list_notes([one, dataclasses.replace(of_two_people, verdict=verdict.NOTHING)]) == [wording.NOTE]

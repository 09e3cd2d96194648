"""``deepcue predict clip --report``: the page of a single clip, its options, and what it says of itself."""

import hashlib
import json
import os
import shlex
from pathlib import Path

import pytest
from clip_evidence import clip_evidence
from clip_maker import frames_of, write_clip
from measured_here import Here
from toy_model import FAMILIES, toy_model, toy_table

from deepcue.cli import predict
from deepcue.cli.main import main as deepcue
from extract.entries import ClipEntry
from extract.run import engine
from extract.run.sandbox import Limits
from features.table import read_table


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "model"
    toy_model(toy_table(), folder)
    return folder


@pytest.fixture
def examined(monkeypatch):
    """Measuring by a stand-in: a row and drawn evidence; the calls that were made."""
    calls = []

    def examine(clip, **options):
        calls.append((clip, options))
        table = toy_table(1, 1, labelled=False, seed=5)
        return table.set_column(0, "filename", [[clip.filename]]), clip_evidence(3)

    monkeypatch.setattr(predict, "examine", examine)
    monkeypatch.setattr(predict, "extract", lambda *_, **__: pytest.fail("the clip is measured once, with its page"))
    return calls


def run(model_folder, clip, page, *words):
    return deepcue(["predict", str(clip), "--model", str(model_folder), "--report", str(page), "--quiet", *words])


def clip_file(tmp_path, name="a clip.mp4"):
    file = tmp_path / name
    file.write_bytes(b"the clip")
    return file


def test_the_page_has_the_evidence_and_says_what_made_it(tmp_path, model_folder, examined):
    clip, page = clip_file(tmp_path), tmp_path / "page.html"
    assert run(model_folder, clip, page) == 0
    text = page.read_text(encoding="utf-8")
    assert 'id="timeline"' in text
    assert text.count("data:image/jpeg") > 10
    assert hashlib.sha256(b"the clip").hexdigest() in text
    assert shlex.quote(str(clip)).replace("'", "&#39;") in text
    ((given, options),) = examined
    assert (given.filename, given.path) == ("a clip.mp4", str(clip))
    assert (options["faces_per_second"], options["show_faces"]) == (2.0, True)
    assert set(options["families"]) == set(FAMILIES)


@pytest.mark.usefixtures("examined")
def test_a_passage_that_stands_out_is_printed_and_listed(tmp_path, monkeypatch, model_folder, capsys):
    clip, page = clip_file(tmp_path), tmp_path / "page.html"
    (table, _), seen = predict.examine(ClipEntry("a clip.mp4", str(clip))), clip_evidence(10, n_people=2)
    monkeypatch.setattr(predict, "examine", lambda *_, **__: (table, seen))
    assert run(model_folder, clip, page) == 0
    assert "one passage much more like a fake than the rest: Person 1 from 4.2 to 5.8 s" in capsys.readouterr().out
    assert run(model_folder, clip, page, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["clips"]
    (passage,) = listed["passages"]
    assert (passage["person"], passage["start_s"], passage["end_s"]) == (1, 4.25, 5.75)
    assert passage["log_odds"] > 0 > passage["log_odds_elsewhere"]
    assert any("Person 1 from 4.2 to 5.8 s" in note for note in listed["notes"])


def test_no_faces_reaches_the_measurement_and_the_page(tmp_path, model_folder, examined):
    page = tmp_path / "page.html"
    assert run(model_folder, clip_file(tmp_path), page, "--no-faces", "--faces-per-second", "4") == 0
    text = page.read_text(encoding="utf-8")
    assert "data:image" not in text
    assert "--no-faces --faces-per-second 4" in text
    assert examined[0][1]["show_faces"] is False
    assert examined[0][1]["faces_per_second"] == 4.0


def test_the_table_is_kept_where_it_is_asked_for(tmp_path, model_folder, examined):
    assert run(model_folder, clip_file(tmp_path), tmp_path / "page.html", "--work", str(tmp_path / "kept")) == 0
    assert read_table(tmp_path / "kept" / "features.parquet")["filename"].to_pylist() == ["a clip.mp4"]


@pytest.mark.parametrize("shape", ["manifest.csv", "."])
def test_a_single_clip_has_its_own_hash_and_its_timeline_however_it_is_given(tmp_path, model_folder, examined, shape):
    """Non-regression test: the page said the manifest's hash, and had no timeline."""
    data, page = tmp_path / "data", tmp_path / "page.html"
    data.mkdir()
    clip, manifest = clip_file(data), data / "manifest.csv"
    manifest.write_text("filename,label\na clip.mp4,REAL\n")
    assert run(model_folder, data / shape, page) == 0
    text = page.read_text(encoding="utf-8")
    assert hashlib.sha256(b"the clip").hexdigest() in text
    assert hashlib.sha256(manifest.read_bytes()).hexdigest() not in text
    assert 'id="timeline"' in text
    assert [(given.filename, given.path) for given, _ in examined] == [("a clip.mp4", str(clip))]


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "many"])
def test_a_senseless_rate_is_refused(tmp_path, model_folder, examined, capsys, rate):
    assert run(model_folder, clip_file(tmp_path), tmp_path / "page.html", "--faces-per-second", rate) == 2
    assert "is not a number above 0" in capsys.readouterr().err
    assert not examined


def test_the_command_on_the_page_makes_the_page(tmp_path, model_folder, examined, monkeypatch):
    clip, page = clip_file(tmp_path, "it's; a $(clip).mp4"), tmp_path / "page.html"
    limits = ["--timeout", "9", "--max-memory", "900", "--max-seconds", "5.25"]
    assert run(model_folder, clip, page, "--no-faces", *limits) == 0
    ((_, options),) = examined
    assert (options["limits"], options["max_seconds"]) == (Limits(timeout_s=9, memory_mb=900), 5.25)
    parsed = []
    monkeypatch.setattr(predict, "run", parsed.append)
    words = ["predict", str(clip), "--report", str(page), "--model", str(model_folder), "--no-faces", *limits]
    assert deepcue(words) == 0
    assert shlex.split(predict.command(parsed[0])) == ["deepcue", *words]


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"two\nlines.mp4", b"<b>.mp4"])
def test_odd_names_have_pages(tmp_path, model_folder, examined, name):
    clip = Path(os.path.join(tmp_path, os.fsdecode(name)))
    clip.write_bytes(b"x")
    assert run(model_folder, clip, tmp_path / "page.html") == 0
    assert "<b>.mp4" not in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_real_measurement_gives_the_same_number_with_and_without_a_page(tmp_path, capsys, monkeypatch):
    """The page's process measures what this one does."""
    from skimage.data import astronaut

    clip = write_clip(tmp_path / "clip.mp4", frames_of(astronaut(), 50, (320, 240)), tone_s=2.0)
    monkeypatch.setattr(engine, "Sandbox", Here)
    answers = []
    for words in ([], ["--report", str(tmp_path / "page.html")]):
        assert deepcue(["predict", str(clip), "--json", "--quiet", "--jobs", "1", *words]) == 0
        answers += json.loads(capsys.readouterr().out)["clips"]
    assert [answer.pop("passages") for answer in answers] == [None, []]  # looked for with a page alone
    assert answers[0] == answers[1]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Most like a fake" in text
    assert 'data-lane="p0.forensic_cnn.' in text

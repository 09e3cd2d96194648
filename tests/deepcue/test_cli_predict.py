import json

import numpy as np
import pytest
from toy_model import FAMILIES, FakeModel, toy_model, toy_table

from deepcue.cli import predict
from deepcue.cli.main import main as deepcue
from ensemble import store, verdict
from ensemble.store import load_model
from features.errors import ModelError


def judged(base, contributions, **made):
    return verdict.judge(FakeModel(base, contributions), toy_table(1, len(base), **made))


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "likely real"), (0.33, "likely real"), (0.34, "uncertain"), (0.66, "uncertain"), (0.67, "likely fake")],
)
def test_bands_follow_the_documented_thirds(probability, expected):
    assert verdict.verdict_of(probability) == expected


def test_the_probability_is_the_sum_of_what_pushed_it():
    (one,) = judged([0.5], {"blink": [1.0], "lip_sync": [-2.0], "quality": [0.0]})
    assert one.probability == pytest.approx(1 / (1 + np.exp(0.5)))
    assert one.base + sum(z for _, z in one.family_contributions) == pytest.approx(-0.5)
    assert [name for name, _ in one.family_contributions] == ["blink", "quality", "lip_sync"]  # towards FAKE first


def test_both_signs_are_drawn_on_their_own_side_of_the_axis():
    (one,) = judged([0.0], {"blink": [2.0], "lip_sync": [-1.0], "quality": [0.0]})
    lines = {line.split()[0]: line for line in predict.clip_lines(one, mark="#") if "|" in line}
    fake, real = lines["blink"].split("|"), lines["lip_sync"].split("|")
    assert fake[0].count("#") == 0
    assert fake[1].count("#") == predict.BAR_WIDTH
    assert real[0].count("#") == predict.BAR_WIDTH // 2
    assert real[1].count("#") == 0
    assert "#" not in lines["quality"]


def test_rounding_of_a_sum_is_no_evidence():
    (one,) = judged([0.0], {"blink": [2.0], "lip_sync": [0.0], "quality": [-1e-16]})
    (line,) = [line for line in predict.clip_lines(one, mark="#") if "quality" in line and "|" in line]
    assert "+0.00" in line
    assert "#" not in line


def test_each_family_that_pushed_says_what_it_asks():
    (one,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "of_another": [0.5]}, without_sound=[0])
    told = "\n".join(predict.clip_lines(one))
    assert "how often, how far and how fast the eyes shut" in told
    assert "whether the lips move" not in told  # nothing was measured of it
    asked = told.split("what each measures")[1]
    assert "of_another" not in asked


def test_a_silent_clip_says_that_lip_sync_lacked_sound():
    (one,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "quality": [0.0]}, without_sound=[0])
    assert one.unmeasured == {"lip_sync": "the clip has no sound"}
    assert "lip_sync" not in dict(one.family_contributions)
    assert one.contribution_unmeasured == pytest.approx(0.25)
    assert any("lip_sync" in line and "no sound" in line for line in predict.clip_lines(one))


def test_an_unreadable_clip_gets_no_verdict_even_at_an_extreme_prior():
    (one,) = judged([3.0], {name: [0.0] for name in FAMILIES}, without_cues=[0])
    assert one.verdict == "nothing measured"
    assert one.notes == [verdict.NOTE_NOTHING]
    assert set(one.unmeasured.values()) == {"not a video"}


def test_two_people_are_pointed_out():
    table = toy_table(1, 1)
    table = table.set_column(table.schema.get_field_index("n_faces"), "n_faces", [[2]])
    (one,) = verdict.judge(FakeModel([0.0], {name: [0.1] for name in FAMILIES}), table)
    assert one.notes[0].startswith("2 people")
    assert one.notes[-1] == verdict.NOTE


def test_several_clips_are_sorted_by_probability_and_those_without_a_finding_come_last():
    verdicts = judged([-1.0, 2.0, 1.0], {name: [0.0] * 3 for name in FAMILIES}, without_cues=[1])
    assert [one.filename for one in verdict.ranked(verdicts)] == ["clip002.mp4", "clip000.mp4", "clip001.mp4"]
    lines = predict.table_lines(verdicts)
    assert lines[0].startswith("P(FAKE)")
    assert [line.split()[-1] for line in lines[1:]] == ["clip002.mp4", "clip000.mp4", "clip001.mp4"]


def test_json_holds_no_nan():
    table = toy_table(1, 1)
    table = table.set_column(table.schema.get_field_index("duration_s"), "duration_s", [[float("nan")]])
    (one,) = verdict.judge(FakeModel([0.0], {name: [0.1] for name in FAMILIES}), table)
    assert json.loads(json.dumps(one.as_dict(), allow_nan=False))["duration_s"] is None


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
    told = capsys.readouterr().out
    assert told.startswith("holiday (1).mp4\n")
    assert "evidence, not proof" in told
    assert "SYNTHETIC" in told
    assert sorted(extracted[0][1]) == sorted(FAMILIES)


def test_json_of_a_folder_agrees_with_the_model(tmp_path, model_folder, extracted, capsys):
    assert deepcue(["predict", str(tmp_path), "--model", str(model_folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = sorted(load_model(model_folder).predict(toy_table(1, 3, labelled=False, seed=5)), reverse=True)
    assert [one["probability"] for one in told["clips"]] == pytest.approx(expected)
    for one in told["clips"]:
        total = one["log_odds_base"] + sum(one["log_odds_by_family"].values()) + one["log_odds_unmeasured"]
        assert 1 / (1 + np.exp(-total)) == pytest.approx(one["probability"])


def test_a_report_of_clips_stands_alone(tmp_path, model_folder, extracted):
    page = tmp_path / "page.html"
    assert deepcue(["predict", str(tmp_path), "--model", str(model_folder), "--report", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert text.count('class="clip"') == 3
    assert "Synthetic training data" in text


def test_a_missing_clip_is_one_sentence_and_status_2(tmp_path, model_folder, capsys):
    assert deepcue(["predict", str(tmp_path / "gone.mp4"), "--model", str(model_folder)]) == 2
    told = capsys.readouterr().err
    assert "gone.mp4: no such file" in told
    assert told.count("\n") == 1


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


def test_a_model_of_other_cues_is_refused_before_extraction():
    with pytest.raises(ModelError, match="palm_reading"):
        store.check_families({"palm_reading": 1}, "model")
    with pytest.raises(ModelError, match="version 0"):
        store.check_families({"blink": 0}, "model")


def test_a_clip_is_measured_whatever_its_name_ends_in(tmp_path, monkeypatch, model_folder):
    (tmp_path / "noext").write_bytes(b"abc")
    seen = {}

    def extract(data, **options):
        seen.update(options, clips=[(clip.filename, clip.path) for clip in data])
        return toy_table(1, 1)

    monkeypatch.setattr(predict, "extract", extract)
    assert deepcue(["predict", str(tmp_path / "noext"), "--model", str(model_folder), "--quiet"]) == 0
    assert seen["clips"] == [("noext", str(tmp_path / "noext"))]
    assert seen["out"] is None

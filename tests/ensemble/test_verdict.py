import json

import cv2
import numpy as np
import pyarrow as pa
import pytest
from toy_model import FAMILIES, UNREADABLE, FakeModel, toy_table

from ensemble import verdict, wording
from ensemble.missingness import SENTENCES
from features.errors import TableError
from features.families.quality import patch_columns
from features.reasons import Reason


def judged(base, contributions, **options):
    return verdict.judge(FakeModel(base, contributions), toy_table(1, len(base), **options))


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "likely real"), (0.33, "likely real"), (0.34, "uncertain"), (0.66, "uncertain"), (0.67, "likely fake")],
)
def test_bands_end_at_one_third_and_two_thirds(probability, expected):
    assert verdict.verdict_of(probability) == expected


def test_the_probability_is_the_base_value_plus_the_contributions():
    (one,) = judged([0.5], {"blink": [1.0], "lip_sync": [-2.0], "quality": [0.0]})
    assert one.probability == pytest.approx(1 / (1 + np.exp(0.5)))
    assert one.log_odds_base + sum(one.log_odds_by_family.values()) == one.log_odds == pytest.approx(-0.5)
    assert list(one.log_odds_by_family) == ["blink", "quality", "lip_sync"]  # towards FAKE first


def test_an_unreadable_clip_gets_no_verdict_even_at_an_extreme_prior():
    (one,) = judged([3.0], {name: [0.0] for name in FAMILIES}, without_cues=[0])
    assert one.verdict == "nothing measured"
    assert one.notes == [wording.NOTE_NOTHING]
    assert set(one.unmeasured.values()) == {UNREADABLE}


def test_a_table_of_another_program_is_read_or_refused():
    """Non-regression: a KeyError, a ValueError of ``int`` and one of ``Reason``."""
    model, table = FakeModel([0.0], {name: [0.1] for name in FAMILIES}), toy_table(1, 1, without_audio=[0])
    column = table.column_names.index
    counts = table.set_column(column("n_faces"), "n_faces", pa.array([np.nan]))
    later = table.set_column(column("reasons"), "reasons", pa.array(['{"lip_sync": "new_code"}']))
    assert verdict.judge(model, counts)[0].n_faces == 0
    assert verdict.judge(model, later)[0].unmeasured["lip_sync"] == "its reason is 'new_code'"
    for spoilt in (table.drop_columns(["error"]), table.set_column(column("error"), "error", pa.array([3]))):
        with pytest.raises(TableError, match="the column 'error'"):
            verdict.judge(model, spoilt)


def test_a_second_face_track_is_pointed_out():
    table = toy_table(1, 1)
    table = table.set_column(table.schema.get_field_index("n_faces"), "n_faces", [[2]])
    (one,) = verdict.judge(FakeModel([0.0], {name: [0.1] for name in FAMILIES}), table)
    assert one.notes[0].startswith("2 faces were detected")
    assert one.notes[-1] == wording.NOTE


@pytest.mark.parametrize(("families", "said"), [(["blink", "voice"], False), (["blink", "forensic_cnn"], True)])
def test_that_the_networks_score_every_face_is_said_of_models_that_have_them(families, said):
    one = verdict.Verdict("a.mp4", 0.5, "uncertain", "ok", "", 2, 3.0, 75, 0.0, dict.fromkeys(families, 0.1))
    assert ("face networks' highest score" in one.faces_note) is said
    assert "a fake of another face may be missed" in one.faces_note


def test_audio_file_has_the_note_that_only_audio_was_evaluated():
    table = toy_table(1, 1)
    table = table.set_column(table.schema.get_field_index("n_frames"), "n_frames", [[0]])
    (one,) = verdict.judge(FakeModel([0.0], {name: [0.1] for name in FAMILIES}), table)
    assert one.audio_only
    assert one.notes == [wording.NOTE_AUDIO_ONLY.format(why="the file holds no video"), wording.NOTE]


def test_clip_without_a_face_has_the_note_that_only_audio_was_evaluated():
    """Non-regression test: no note said that its low probability was no finding about the video."""
    told = dict(verdict="likely real", status="no_face", error="no face was found", n_faces=0, duration_s=9.0)
    told |= dict(filename="a.mp4", probability=0.2, n_frames=225, base=0.0)
    told |= dict(contributions={"forensic_voice": -1.0, "forensic_cnn": 0.0})
    one = verdict.Verdict(**told, unmeasured={"forensic_cnn": "no face was found"})
    said = wording.NOTE_AUDIO_ONLY.format(why="no cue of the video could be measured")
    assert one.notes == [said, wording.NOTE]
    assert said not in verdict.Verdict(**told).notes  # the face network has a number


def test_audio_model_has_no_note_on_the_video():
    """Non-regression: a note said that the video stays at its prior when one of two audio families was unmeasured."""
    told = dict(verdict="likely real", status="no_face", error="no face was found", n_faces=0, duration_s=9.0)
    told |= dict(filename="a.mp4", probability=0.2, n_frames=225, base=0.0)
    told |= dict(contributions={"forensic_voice": 0.0, "voice": -1.0})
    assert verdict.Verdict(**told, unmeasured={"forensic_voice": "under 1 s of speech"}).notes == [wording.NOTE]


def test_a_verdict_has_every_value_of_its_json_by_the_same_name():
    told = dict(filename="a.mp4", probability=0.2, verdict="likely real", status="ok", error="", n_faces=1)
    told |= dict(duration_s=9.0, n_frames=225, base=0.5, contributions={"voice": -1.0, "blink": 0.25})
    one = verdict.Verdict(**told, unmeasured={"blink": "no face was found"}, seen_share=0.75, still=True)
    shown = one.as_dict()
    assert {name: getattr(one, name) for name in shown} == shown
    assert (shown["log_odds_base"], shown["log_odds_by_family"], shown["log_odds_unmeasured"]) == (
        0.5,
        {"voice": -1},
        0.25,
    )
    assert (shown["seen_share"], shown["still"]) == (0.75, True)


@pytest.mark.parametrize(
    ("unmeasured", "is_said"),
    [
        ({"forensic_voice": SENTENCES[Reason.UNUSABLE], "blink": SENTENCES[Reason.NO_VIDEO]}, True),
        ({"forensic_voice": "too little of the clip was usable for it: 3%"}, True),
        ({"forensic_voice": SENTENCES[Reason.NOT_INSTALLED]}, False),
        ({"forensic_voice": SENTENCES[Reason.FAILED], "voice": SENTENCES[Reason.UNUSABLE]}, False),
        ({"blink": SENTENCES[Reason.NO_VIDEO]}, False),
    ],
)
def test_that_there_is_no_speech_is_said_where_it_was_looked_for(unmeasured, is_said):
    """Non-regression test: every audio file in which nothing was measured had the note."""
    told = dict(verdict="nothing measured", status="no_face", error="no video in the file", n_faces=0, base=0.0)
    told |= dict(filename="a.wav", probability=0.5, duration_s=9.0, n_frames=0)
    one = verdict.Verdict(**told, unmeasured=unmeasured)
    assert one.reason == (verdict.NO_SPEECH if is_said else one.error)
    assert one.notes == [*([wording.NOTE_NO_SPEECH] if is_said else []), wording.NOTE_NOTHING]


@pytest.mark.parametrize(
    ("eyes_px", "width", "warned"),
    [(20.0, 46.0, True), (32.1, 73.8, True), (32.3, 74.3, False), (float("nan"), None, False), (None, None, False)],
)
def test_a_small_face_is_warned_of_and_its_number_stays(eyes_px, width, warned):
    table = toy_table(1, 1)
    eyes = pa.array([eyes_px], pa.float32())
    table = table.set_column(table.schema.get_field_index("quality.iod_px"), "quality.iod_px", eyes)
    (one,) = verdict.judge(FakeModel([0.5], {name: [0.0] for name in FAMILIES}), table)
    assert one.face_width_px == (None if width is None else pytest.approx(width, abs=0.06))
    assert any(f"about {int(width or 0)} px wide" in note for note in one.notes) == warned
    assert one.as_dict()["notes"] == one.notes
    assert one.probability == pytest.approx(1 / (1 + np.exp(-0.5)))


def with_values(**values):
    """One row with other values in its columns, ``family__name``."""
    table = toy_table(1, 1)
    for name, value in values.items():
        column = name.replace("__", ".")
        field = table.schema.field(column)
        table = table.set_column(table.schema.get_field_index(column), column, pa.array([value], field.type))
    return table


def test_a_family_of_which_nothing_that_the_model_reads_is_defined_is_not_among_the_measured():
    """Non-regression: it was listed as measured with +0.00."""
    model = FakeModel([0.5], {"blink": [1.0], "quality": [0.0]}, columns_read={"quality.iod_px", "blink.count"})
    (one,) = verdict.judge(model, with_values(quality__iod_px=float("nan")))
    assert list(one.log_odds_by_family) == ["blink"]
    assert list(one.unmeasured) == ["quality"]
    (one,) = verdict.judge(model, with_values(blink__rate_per_min=float("nan")))
    assert one.unmeasured == {}


def test_a_family_of_which_the_model_reads_no_column_has_no_line():
    """Non-regression: a clip without any number that counts was "uncertain", by a family that does not count."""
    model = FakeModel([0.0], {"blink": [0.0], "quality": [0.0]}, columns_read={"blink.count"})
    (one,) = verdict.judge(model, with_values(blink__count=float("nan")))
    assert (one.verdict, one.log_odds_by_family, list(one.unmeasured)) == (verdict.NOTHING, {}, ["blink"])


@pytest.mark.parametrize(
    ("n_frames", "duration_s", "share", "said"),
    [
        (3, 0.12, 1.0, "Only 3 frames over 0.12 s"),
        (1, 0.04, None, "Only 1 frame over 0.04 s"),
        (500, 20.0, 0.02, "Only 10 frames over 0.4 s"),
        (30, 1.2, 1.0, ""),
        (9, 3.0, 1.0, ""),
        (7, 7.0, 1.0, "Only 7 frames over 7 s"),
        (5, 150.0, 1.0, "Only 5 frames over 150 s"),
        (30, 0.99999, 1.0, ""),
        (1, 0.0, 1.0, "Only 1 frame could"),
        (1, 0.0, None, "Only 1 frame could"),
        (2, 0.008, 0.5, "Only 1 frame could"),
        (2, 0.008, 1.0, "Only 2 frames over 0.01 s"),
        (1, None, 1.0, ""),
    ],
)
def test_a_number_of_little_says_so_and_stays(n_frames, duration_s, share, said):
    """Non-regression: the least measured clip had the firmest number, without a caveat."""
    table = with_values(n_frames=n_frames, duration_s=duration_s, quality__clip_share=share)
    (one,) = verdict.judge(FakeModel([-0.5], {name: [0.0] for name in FAMILIES}), table)
    found = [note for note in one.notes if "could be evaluated" in note]
    assert (found[0][: len(said)] == said) if said else not found
    assert one.probability == pytest.approx(1 / (1 + np.exp(0.5)))


def of_little(contributions, **more):
    """A clip of 20 s in half a second of which the face was found."""
    told = dict(filename="a.mp4", probability=0.9, verdict="likely fake", status="ok", error="", base=0.0)
    told |= dict(n_faces=1, duration_s=20.0, n_frames=500, seen_share=0.025)
    return verdict.Verdict(**(told | more), contributions=contributions)


@pytest.mark.parametrize("more", [{}, {"seen_share": 1.0, "still": True}, {"face_width_px": 40.0}, {"n_faces": 3}])
def test_probability_of_audio_alone_has_no_notes_on_the_video(more):
    """Non-regression: 20 s of speech were "Evaluated on 12 frames over 0.5 s", by a model that never looks."""
    assert of_little({"forensic_voice": 2.2}, **more).notes == [wording.NOTE]
    assert len(of_little({"forensic_cnn": 2.2}, **more).notes) > 1


def test_notes_on_little_video_describe_its_part_where_speech_counts():
    (said, _) = of_little({"forensic_cnn": 0.1, "forensic_voice": 2.2}).notes
    assert said.startswith(
        "Only 12 frames over 0.5 s of video could be evaluated. That is little evidence; the video's part"
    )
    (said, _) = of_little({"forensic_cnn": 0.1, "forensic_voice": 2.2}, seen_share=1.0, still=True).notes
    assert "the video's part of the probability rests on few different images" in said
    unheard = of_little({"forensic_cnn": 0.1, "forensic_voice": 0.0}, unmeasured={"forensic_voice": "no audio"})
    assert unheard.notes[0].startswith("Only 12 frames over 0.5 s could be evaluated.")


@pytest.mark.parametrize(("spread", "said"), [(0.0, True), (0.0019, True), (0.015, False), (float("nan"), False)])
def test_frozen_image_has_a_note(spread, said):
    table = with_values(quality__blur_lap_face_mad=spread, quality__clip_share=1.0)
    (one,) = verdict.judge(FakeModel([-0.5], {name: [0.0] for name in FAMILIES}), table)
    assert (wording.NOTE_STILL in one.notes) == said


@pytest.mark.parametrize(("detail", "said"), [(0.08, True), (0.29, True), (0.31, False), (float("nan"), False)])
def test_face_without_detail_has_a_note(detail, said):
    """A genuine face that was blurred beyond recognition had P(FAKE) 0.95, without a caveat."""
    table = with_values(quality__noise_imm_face_med=detail, quality__clip_share=1.0)
    (one,) = verdict.judge(FakeModel([3.0], {name: [0.0] for name in FAMILIES}), table)
    assert (wording.NOTE_NO_DETAIL in one.notes) == said
    assert one.as_dict()["lacks_detail"] == said


def hidden(image, how, side=128):
    """The middle of a face [side, side] of an image, blurred or pixelated as faces are to hide them."""
    face = cv2.cvtColor(image[60:188, 160:288], cv2.COLOR_RGB2GRAY)
    if how == "blurred":
        return cv2.GaussianBlur(face, (0, 0), 0.06 * side)
    cells = cv2.resize(face, (10, 10), interpolation=cv2.INTER_AREA)
    return cv2.resize(cells, (side, side), interpolation=cv2.INTER_NEAREST) if how == "pixelated" else face


@pytest.mark.parametrize(("how", "lacks"), [("blurred", True), ("pixelated", True), ("as it is", False)])
def test_hidden_faces_lack_detail(portrait, how, lacks):
    patches = [hidden(portrait, how)] * 8
    values = patch_columns(patches, place="face", luma_levels=(0, 255))
    assert verdict._lacks_detail(values["noise_imm_face_med"]) == lacks


@pytest.mark.parametrize(
    ("z", "at_bound", "words"),
    [(np.log(0.97 / 0.03), True, "or more"), (np.log(0.03 / 0.97), True, "or less"), (0.5, False, "")],
)
def test_a_number_at_the_models_bound_is_called_so(z, at_bound, words):
    """Non-regression: it looked like a measurement in the terminal, in JSON and on the page."""
    model = FakeModel([z], {name: [0.0] for name in FAMILIES}, clip=0.03)
    (one,) = verdict.judge(model, toy_table(1, 1))
    assert (one.at_bound, one.bound, one.as_dict()["at_bound"]) == (at_bound, words, at_bound)
    (nothing,) = verdict.judge(model, toy_table(1, 1, without_cues=[0]))
    assert not nothing.at_bound


@pytest.mark.parametrize(
    ("cnn", "residual", "z", "said"),
    [(2.1, 2.4, -1.0, True), (2.1, 1.2, -1.0, False), (2.1, 2.4, 3.0, False), (2.1, np.nan, -1.0, False)],
)
def test_a_short_forgery_that_leaves_the_number_low_is_pointed_out(cnn, residual, z, said):
    """Non-regression: a face pasted in for one of 6.6 s gave "likely real" without a hint in the terminal."""
    table = toy_table(1, 1)
    for name, gap in (("forensic_cnn", cnn), ("forensic_residual", residual)):
        table = table.append_column(f"{name}.logit_max", [[gap - 0.3]]).append_column(f"{name}.logit_med", [[-0.3]])
    (one,) = verdict.judge(FakeModel([z], {name: [0.0] for name in FAMILIES}), table)
    assert (wording.NOTE_PEAK in one.notes) == said


def test_json_holds_no_nan():
    table = toy_table(1, 1)
    table = table.set_column(table.schema.get_field_index("duration_s"), "duration_s", [[float("nan")]])
    (one,) = verdict.judge(FakeModel([0.0], {name: [0.1] for name in FAMILIES}), table)
    assert json.loads(json.dumps(one.as_dict(), allow_nan=False))["duration_s"] is None


def test_what_was_not_measured_contributes_by_being_missing():
    (one,) = judged([0.0], {"blink": [1.0], "lip_sync": [0.25], "quality": [0.0]}, without_audio=[0])
    assert "lip_sync" not in one.log_odds_by_family
    assert one.log_odds_unmeasured == pytest.approx(0.25)


def test_verdicts_are_ranked_by_probability_and_those_without_any_cue_come_last():
    verdicts = judged([-1.0, 2.0, 1.0], {name: [0.0] * 3 for name in FAMILIES}, without_cues=[1])
    assert [one.filename for one in verdict.ranked(verdicts)] == ["clip002.mp4", "clip000.mp4", "clip001.mp4"]


def test_the_model_line_says_what_the_model_was_trained_on_and_its_score_at_the_target_prior(tmp_path):
    losses = {"stack": {"value": 0.5, "low": 0.41, "high": None}, "constant": {"value": 0.69}}
    scores = {name: {"log_loss_target_prior": loss, "log_loss": {"value": 0.1}} for name, loss in losses.items()}
    summary = {"n_clips": 12, "n_groups": 3, "synthetic": True}
    line = wording.model_line({"summary": summary, "metrics": scores}, tmp_path)
    assert line.startswith(f"model {tmp_path}: trained on 12 SYNTHETIC clips of 3 groups")
    assert line.endswith("log loss out of fold 0.500, of the constant predictor 0.690")
    losses["stack"]["high"] = 0.6
    line = wording.model_line({"metrics": scores}, tmp_path)
    assert line.endswith("log loss out of fold 0.500 [0.410, 0.600], of the constant predictor 0.690")
    for older in ({}, {"metrics": {"stack": {"log_loss": {"value": 0.5}}}}):
        assert wording.model_line(older, tmp_path).endswith("? clips of ? groups")


def test_the_model_line_says_the_score_of_a_stricter_protocol_in_place_of_the_own_folds(tmp_path):
    own = {name: {"log_loss_target_prior": {"value": 0.1}} for name in ("stack", "constant")}
    reported = {"protocol": "unseen people", "log_loss": {"value": 0.58, "low": 0.5, "high": 0.6}, "constant": 0.693}
    line = wording.model_line({"metrics": own, "reported": reported}, tmp_path)
    assert line.endswith("; log loss on unseen people 0.580 [0.500, 0.600], of the constant predictor 0.693")


def test_eight_frames_are_not_few():
    model = FakeModel([0.0], {name: [0.0] for name in FAMILIES})
    for n, few in ((7, True), (8, False)):
        (one,) = verdict.judge(model, with_values(n_frames=n, duration_s=8.0, quality__clip_share=1.0))
        assert bool(one.little_notes) == few


def test_equal_probabilities_are_ranked_by_name():
    verdicts = verdict.judge(FakeModel([1.0, 1.0], {name: [0.0] * 2 for name in FAMILIES}), toy_table(1, 2))
    assert [one.filename for one in verdict.ranked(verdicts[::-1])] == ["clip000.mp4", "clip001.mp4"]


@pytest.mark.parametrize(("spread", "held"), [(0.0049, True), (0.0051, False)])
def test_from_which_spread_on_images_differ(spread, held):
    assert verdict._is_held(spread) == held


def test_what_a_share_alone_contributes_is_in_the_sum():
    model = FakeModel([0.0], {"blink": [0.5], "quality": [0.25]}, columns_read={"blink.count", "quality.valid_share"})
    (one,) = verdict.judge(model, with_values())
    assert one.base + sum(one.contributions.values()) == pytest.approx(np.log(one.probability / (1 - one.probability)))

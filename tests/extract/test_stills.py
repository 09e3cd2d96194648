"""Stills as clips of one frame."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deepcue.cli.main import main as deepcue
from extract import stills
from features import table


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def parquet(portrait, tmp_path):
    rows = {
        "video": ["b.mp4", "a.mp4", "c.mp4"],
        "label": ["FAKE", "REAL", "REAL"],
        "group": [1, 1, 2],
        "jpeg": [jpeg(portrait[20:244, 110:334]), jpeg(portrait[20:244, 110:334, ::-1]), b"no image"],
    }
    file = tmp_path / "stills.parquet"
    pq.write_table(pa.table(rows), file)
    return file


def test_a_still_gives_a_row_of_single_frame_cues_and_a_broken_one_gives_its_reason(parquet, tmp_path, capsys):
    out = tmp_path / "table.parquet"
    assert deepcue(["stills", str(parquet), "--out", str(out), "--families", "quality,spectrum", "--jobs", "1"]) == 0
    rows = table.read_table(out).to_pylist()
    assert [(row["filename"], row["label"], row["group"], row["status"]) for row in rows] == [
        ("a.mp4", "REAL", "1", "ok"),
        ("b.mp4", "FAKE", "1", "ok"),
        ("c.mp4", "REAL", "2", "unreadable"),
    ]
    assert np.isfinite(rows[0]["quality.blur_lap_face_med"])
    assert np.isnan(rows[2]["quality.blur_lap_face_med"])
    assert "no JPEG, PNG or WebP" in rows[2]["error"]
    assert [row["reasons"] for row in rows] == [*['{"spectrum": "unusable"}'] * 2, '{"clip": "unreadable"}']


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_a_still_may_be_of_another_format(portrait, kind):
    face = portrait[20:244, 110:334]
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, kind, quality=95)
    ours, theirs = (stills.observe(data).tracks[0] for data in (buffer.getvalue(), jpeg(face)))
    np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=4)


def test_a_still_of_no_group_or_without_bytes_does_not_join_others(portrait):
    rows = {"video": ["a", "b"], "label": ["REAL", "FAKE"], "group": [None, None]}
    rows["jpeg"] = [jpeg(portrait[20:244, 110:334]), None]
    found = stills.stills_table(pa.table(rows), ["quality"])
    assert found["group"].to_pylist() == [None, None]
    assert found["status"].to_pylist() == ["ok", "unreadable"]


@pytest.mark.slow
def test_processes_give_the_table_of_one(parquet, tmp_path):
    options = ["--out", str(tmp_path / "one.parquet"), "--jobs", "1"]
    assert deepcue(["stills", str(parquet), *options]) == 0
    options = ["--out", str(tmp_path / "two.parquet"), "--jobs", "2"]
    assert deepcue(["stills", str(parquet), *options]) == 0
    one, two = (table.read_table(tmp_path / name) for name in ("one.parquet", "two.parquet"))
    assert one.schema.equals(two.schema, check_metadata=True)
    for name in one.column_names:
        np.testing.assert_array_equal(one[name].to_numpy(), two[name].to_numpy())


def test_a_held_still_says_of_its_frame_what_the_frame_says_and_does_not_change(portrait):
    observed = stills.observe(jpeg(portrait[20:244, 110:334]))
    track = observed.tracks[0]
    assert len(observed.times_s) == len(track) == len(track.crops) == stills.HELD_FRAMES
    assert (track.landmarks == track.landmarks[0]).all()
    assert all((crop == track.crops[0]).all() for crop in track.crops)


@pytest.mark.parametrize("family", stills.FAMILIES)
def test_every_family_of_stills_says_something_of_one(portrait, family):
    close = portrait[20:244, 110:334].repeat(2, axis=0).repeat(2, axis=1)
    rows = {"video": ["a"], "label": ["REAL"], "group": [1], "jpeg": [jpeg(close)]}
    (row,) = stills.stills_table(pa.table(rows), [family]).to_pylist()
    values = {name: value for name, value in row.items() if name.startswith(f"{family}.")}
    assert row["status"] == "ok"
    assert values[f"{family}.valid_share"] == 1.0
    unchanging = [value for name, value in values.items() if name.endswith(("_mad", "_step_js_med"))]
    assert not np.nan_to_num(unchanging).any()
    against_background = [name for name in values if "_fb_" in name or name.endswith(("_fmb", "_bg_med", "_bg_mad"))]
    assert np.isfinite([values[name] for name in values.keys() - against_background]).mean() > 0.8


@pytest.mark.parametrize("is_folder", [True, False])
def test_stills_are_read_from_a_path_that_is_no_utf_8(parquet, tmp_path, is_folder):
    """Non-regression test: it ended in a traceback."""
    (folder := tmp_path / "caf\udce9").mkdir()
    file = parquet.rename(folder / "a.parquet")
    assert stills.read_stills(folder if is_folder else file).num_rows


def test_a_parquet_without_images_is_refused(tmp_path, capsys):
    file = tmp_path / "other.parquet"
    pq.write_table(pa.table({"video": ["a"]}), file)
    assert deepcue(["stills", str(file), "--out", str(tmp_path / "out.parquet")]) == 2
    assert "no Parquet of stills" in capsys.readouterr().err


def test_an_image_without_a_face_is_reported(tmp_path):
    rows = {"video": ["a"], "label": ["1"], "group": [1], "jpeg": [jpeg(np.full((224, 224, 3), 90, np.uint8))]}
    (row,) = stills.stills_table(pa.table(rows), ["quality"]).to_pylist()
    assert (row["label"], row["status"], row["n_faces"]) == ("FAKE", "no_face", 0)


def test_the_middle_is_measured_where_no_face_is_found():
    """Stills of the challenge are face crops: one in thirty, in which none was found, had nothing but NaN."""
    noise = np.random.default_rng(0).normal(128, 30, (224, 224, 3)).clip(0, 255).astype(np.uint8)
    rows = pa.table({"video": ["a"], "label": ["FAKE"], "group": [1], "jpeg": [jpeg(noise)]})
    without, row = (
        stills.stills_table(rows, ["texture", "quality"], missed_share=share).to_pylist()[0] for share in (0.0, 0.6)
    )
    assert (without["status"], row["status"], row["n_faces"]) == ("no_face", "no_face", 0)
    assert not np.isfinite(without["texture.lbp_bin4_med"])
    assert np.isfinite(row["texture.lbp_bin4_med"])
    assert row["quality.detector_conf_med"] == 0


def test_a_face_too_small_to_follow_is_none(monkeypatch):
    from extract.clip.faces import Face, FaceDetector

    monkeypatch.setattr(FaceDetector, "detect", lambda self, grey, *, thorough: [Face((10.0, 10.0, 31.0, 31.0), 0.9)])
    noise = np.random.default_rng(0).normal(128, 30, (224, 224, 3)).clip(0, 255).astype(np.uint8)
    (track,) = stills.observe(jpeg(noise), missed_share=0.5).tracks
    assert np.ptp(track.box[0, ::2]) == 112


def test_a_face_that_is_found_is_measured_where_it_is(portrait):
    rows = pa.table({"video": ["a"], "label": ["REAL"], "group": [1], "jpeg": [jpeg(portrait)]})
    found, again = (
        stills.stills_table(rows, ["quality", "texture"], missed_share=share).to_pylist()[0] for share in (0.0, 0.75)
    )
    assert found["status"] == "ok"
    assert again == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize(
    ("options", "said"), [(["--families", "nonsense"], "no family is called 'nonsense'"), (["--limit", "0"], "--limit")]
)
def test_options_that_mean_nothing_are_refused(parquet, tmp_path, capsys, options, said):
    """Non-regression test: a family that does not exist ended in KeyError."""
    assert deepcue(["stills", str(parquet), "--out", str(tmp_path / "o.parquet"), *options]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize(("column", "values", "said"), [("label", ["maybe"], "maybe"), ("video", [], "no still")])
def test_stills_that_cannot_be_judged_are_refused(tmp_path, capsys, column, values, said):
    rows = {"video": ["a"], "label": ["REAL"], "group": [1], "jpeg": [b"x"]}
    table_ = pa.table(rows | {column: values}) if values else pa.table(rows).slice(0, 0)
    pq.write_table(table_, tmp_path / "s.parquet")
    assert deepcue(["stills", str(tmp_path / "s.parquet"), "--out", str(tmp_path / "o"), "--jobs", "1"]) == 2
    assert said in capsys.readouterr().err


def in_form(form, image):
    """Columns of two stills as other programs write them."""
    columns = {"video": ["a", "b"], "label": ["REAL", "FAKE"], "group": ["g", "h"], "jpeg": [image, image]}
    changed = {
        "ids": {"video": [1, 2]},
        "categories": {"video": pa.array(["a", "b"]).dictionary_encode()},
        "images": {"jpeg": [{"bytes": image, "path": "a.jpg"}] * 2},
        "large": {"jpeg": pa.array([image] * 2, pa.large_binary())},
        "paths": {"jpeg": ["a.jpg", "b.jpg"]},
        "images elsewhere": {"jpeg": [{"bytes": None, "path": "a.jpg"}] * 2},
        "no name": {"video": [None, "b"]},
        "empty name": {"video": ["", "b"]},
        "twice": {"video": ["a", "a"]},
        "fractions": {"video": [0.5, 1.5]},
        "no image": {"jpeg": [b"", b"\x89PNG\r\n\x1a\nxx"]},
    }[form]
    return pa.table(columns | changed)


@pytest.mark.parametrize(
    ("form", "names"), [("ids", ["1", "2"]), *((form, ["a", "b"]) for form in ("categories", "images", "large"))]
)
def test_stills_are_read_as_other_programs_write_them(portrait, tmp_path, form, names):
    """Non-regression test: ids and columns of images ended in a traceback."""
    pq.write_table(in_form(form, jpeg(portrait[20:244, 110:334])), tmp_path / "s.parquet")
    command = ["stills", str(tmp_path / "s.parquet"), "--families", "quality", "--jobs", "1"]
    assert deepcue([*command, "--out", str(tmp_path / "t.parquet")]) == 0
    found = table.read_table(tmp_path / "t.parquet")
    assert found["filename"].to_pylist() == names
    assert found["status"].to_pylist() == ["ok", "ok"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("paths", "the column 'jpeg' holds string; write the bytes of images into it"),
        ("images elsewhere", "no still can be decoded"),
        ("no image", "no still can be decoded"),
        ("no name", "a still has no 'video'"),
        ("empty name", "a still has no 'video'"),
        ("twice", "the video 'a' appears 2 times"),
        ("fractions", "the column 'video' holds double"),
    ],
)
def test_stills_of_which_nothing_can_be_made_are_refused(tmp_path, capsys, form, said):
    """Non-regression test: they ended in a traceback, or in a table without a number and status 0."""
    pq.write_table(in_form(form, b"x"), tmp_path / "s.parquet")
    command = ["stills", str(tmp_path / "s.parquet"), "--families", "quality", "--jobs", "1", "--quiet"]
    assert deepcue([*command, "--out", str(tmp_path / "t.parquet")]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert not (tmp_path / "t.parquet").exists()


def test_a_table_of_stills_says_which_weights_measured_it(portrait, tmp_path):
    """Non-regression test: a model of such a table took other weights' numbers for those of its own."""
    from features.networks.weights import weights_digest, weights_file

    rows = pa.table({"video": ["a"], "label": ["REAL"], "group": [1], "jpeg": [jpeg(portrait[20:244, 110:334])]})
    found = stills.stills_table(rows, ["quality", "face_contrast"], missed_share=0.75)
    assert table.description(found)["weights"] == {"face_contrast": weights_digest(weights_file("face_contrast"))}
    of_one_fold = stills.stills_table(rows, ["face_contrast"], weights={"face_contrast": weights_file("face_contrast")})
    assert table.description(of_one_fold)["weights"] == {}


def test_a_still_reports_missing_weights_and_missing_audio(portrait, tmp_path):
    rows = pa.table({"video": ["a"], "label": ["REAL"], "group": [1], "jpeg": [jpeg(portrait[20:244, 110:334])]})
    absent = {"face_contrast": tmp_path / "absent.safetensors"}
    found = stills.stills_table(rows, ["quality", "face_contrast", "voice"], weights=absent)
    assert table.row_reasons(found) == [{"face_contrast": "not_installed", "voice": "no_sound"}]

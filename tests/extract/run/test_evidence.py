"""Evidence beside a row: the row stays what it is, and whatever goes wrong with the evidence costs nothing else."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
from plug_in import MODULE, write_plug_in
from registry import own_registry
from safetensors.numpy import save_file

from extract import pipeline
from extract.entries import ClipEntry
from extract.run import evidence, evidence_store, worker
from extract.run.examiner import Examiner, Request
from extract.run.sandbox import Limits
from features import discovery, spec
from features.errors import InputError
from features.evidence import ClipEvidence, JudgedFace, Person, Series
from features.networks.weights import WEIGHTS_VARIABLE
from features.reasons import Reason

SETTINGS = worker.Settings(families=("forensic_cnn", "quality"))
JPEG = b"\xff\xd8\xff"  # what a JPEG file begins with


@pytest.fixture(scope="module")
def clip(make_clip):
    return str(make_clip("page.mp4", n=30, tone_s=1.2))


def made(clip, folder, **options):
    """The rows that are yielded, and the evidence."""
    file = folder / "evidence"
    rows = list(evidence.measured("page.mp4", clip, SETTINGS, Request(str(file), **options)))
    return rows, evidence_store.load(file) if file.exists() else None, file


@pytest.fixture(scope="module")
def found(clip, tmp_path_factory):
    return made(clip, tmp_path_factory.mktemp("found"), faces_per_second=5)


def test_the_row_is_the_one_without_evidence(clip, found):
    without = worker.measure("page.mp4", clip, SETTINGS)
    for row in found[0]:
        assert row.values.tobytes() == without.values.tobytes()
        fields = [field.name for field in dataclasses.fields(row) if field.name != "values"]
        assert [getattr(row, name) for name in fields] == [getattr(without, name) for name in fields]


def test_a_person_has_faces_boxes_and_series_in_time(found):
    (person,) = found[1].people
    assert [face.time_s for face in person.faces] == pytest.approx(0.1 + 0.2 * np.arange(6), abs=0.041)
    assert all(face.jpeg.startswith(JPEG) and len(face.jpeg) < 20_000 for face in person.faces)
    left, top, right, bottom = np.transpose([face.box for face in person.faces])
    assert (np.array([left, top, 1 - right, 1 - bottom]) >= 0).all()
    assert (right - left) * 320 == pytest.approx((bottom - top) * 240, rel=0.2)  # a face is about as wide as high
    assert person.boxes_times_s == pytest.approx(np.arange(30) / 25, abs=1e-6)
    assert person.boxes.shape == (30, 4)
    assert (found[1].width, found[1].height, found[1].n_faces_detected) == (320, 240, 1)


def test_logits_of_a_face_are_the_series_at_its_time(found):
    (person,) = found[1].people
    for family in ("forensic_cnn", "forensic_residual"):
        series = person.series[f"{family}.logit"]
        assert series.times_s.tolist() == [face.time_s for face in person.faces]
        assert series.values.tolist() == [face.logits[family] for face in person.faces]


def test_every_cue_is_there_as_the_table_has_it(clip, found):
    cues = found[1].cues
    assert set(cues) == {column.name for one in discovery.families() for column in one.table_columns}
    row = dict(zip(worker.column_names(SETTINGS.families), found[0][0].values.tolist(), strict=True))
    assert {name: cues[name] for name in row} == pytest.approx(row, nan_ok=True, abs=0)
    everything = worker.measure("page.mp4", clip, worker.Settings(("spectrum", "voice")))
    others = dict(zip(worker.column_names(("spectrum", "voice")), everything.values.tolist(), strict=True))
    assert {name: cues[name] for name in others} == pytest.approx(others, nan_ok=True, abs=0)


def test_the_filmstrip_is_of_small_jpeg_images(found):
    assert [time_s for time_s, _ in found[1].filmstrip] == pytest.approx([0.25, 0.75], abs=0.041)
    assert all(jpeg.startswith(JPEG) and len(jpeg) < 20_000 for _, jpeg in found[1].filmstrip)


def test_without_faces_no_pixel_is_kept(clip, found, tmp_path):
    _, hidden, file = made(clip, tmp_path, faces_per_second=5, show_faces=False)
    assert JPEG in found[2].read_bytes()
    assert JPEG not in file.read_bytes()
    assert hidden.filmstrip == ()
    assert not any(face.jpeg for person in hidden.people for face in person.faces)
    assert [face.logits for face in hidden.people[0].faces] == [face.logits for face in found[1].people[0].faces]


@pytest.mark.parametrize(("audio_start_s", "lead_s"), [(0.4, 1.0), (1.4, 0.0), (2.0, 0.0), (np.nan, 0.0)])
def test_audio_before_the_first_frame_is_reported(audio_start_s, lead_s):
    """Non-regression: the times of such a clip's page were not those of a player, and nothing said so."""
    audio = None if np.isnan(audio_start_s) else np.zeros(16)
    observed = SimpleNamespace(audio=audio, audio_start_s=audio_start_s)
    assert evidence._lead_s(observed, 1.4) == pytest.approx(lead_s)


def person_of(n, size, peak):
    faces = [JudgedFace(float(k), (0, 0, 1, 1), bytes(size), {"net": float(k == peak)}) for k in range(n)]
    return Person(np.empty(0), np.empty((0, 4), np.float32), tuple(faces), {})


def test_images_are_thinned_to_the_budget_and_the_peaks_stay():
    people = [person_of(30, 1000, peak=7), person_of(10, 1000, peak=3)]
    thinned = evidence._thinned(people, 16_000)
    kept = [[n for n, face in enumerate(person.faces) if face.jpeg] for person in thinned]
    assert kept == [[0, 3, 6, 7, 9, 12, 15, 18, 21, 24, 27], [0, 3, 6, 9]]
    assert [len(person.faces) for person in thinned] == [30, 10]
    assert [person.faces for person in evidence._thinned(people, 40_000)] == [person.faces for person in people]
    assert evidence._thinned([], 100) == ()


def test_a_minute_of_three_people_is_within_the_budget(rng):
    noise = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)  # compresses worse than any face
    jpeg = evidence._jpeg(noise)
    people = [
        dataclasses.replace(one, faces=tuple(dataclasses.replace(face, jpeg=jpeg) for face in one.faces))
        for one in [person_of(120, 0, peak=k) for k in range(3)]
    ]
    thinned = evidence._thinned(people, evidence.MAX_JPEG_BYTES)
    size = sum(len(face.jpeg) for person in thinned for face in person.faces)
    assert 0.5 * evidence.MAX_JPEG_BYTES < size <= evidence.MAX_JPEG_BYTES <= 2.5e6


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left on device"), r"can't be written \(.*No space left"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_evidence_that_fails_is_said_in_the_row(clip, tmp_path, monkeypatch, fails, words):
    def collect(*_, **__):
        raise fails

    monkeypatch.setattr(evidence, "collect", collect)
    rows, none, _ = made(clip, tmp_path)
    assert none is None
    assert [row.status for row in rows] == ["ok", "partial"]
    assert rows[0].values.tobytes() == rows[1].values.tobytes()
    assert re.search("the evidence could not be made: .*" + words, rows[1].error)


def test_a_network_of_another_package_costs_nobody_his_page(clip, tmp_path, monkeypatch):
    """Non-regression: its weights, of a format of its own, were taken for the built-in networks' by the face map."""
    save_file({"anything": np.zeros(3, np.float32)}, tmp_path / "theirs.safetensors")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    own_registry(monkeypatch)

    def logits(observation, track):
        times_s = observation.crop_times_s(track)
        return {"theirs.logit": Series(times_s, np.full(len(times_s), 2.0), unit="log-odds", title="Their network")}

    columns = [spec.Column("theirs.valid_share", description="A number.")]
    register = spec.family("theirs", version=1, needs={"crops", "weights"}, columns=columns, series=logits)
    register(lambda observation, track: {"theirs.valid_share": 1.0})
    rows, shown, _ = made(clip, tmp_path)
    assert [row.status for row in rows] == ["ok", "ok"]
    (person,) = shown.people
    assert {face.logits["theirs"] for face in person.faces} == {2.0}
    assert person.face_regions  # of the built-in networks


def test_a_file_that_is_no_video_has_its_row_alone(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows, none, _ = made(str(tmp_path / "broken.mp4"), tmp_path)
    assert [row.status for row in rows] == ["unreadable"]
    assert none is None


KILLING = MODULE.replace(
    '''def measure(observation, track):
''',
    '''def measure(observation, track):
    import os, sys
    if "{where}" == "row" and sys.orig_argv[2] == "extract.run.evidence":
        os._exit(5)
''',
).replace(
    "columns=COLUMNS)",
    "columns=COLUMNS, series=killing)",
).replace(
    "@family",
    '''def killing(observation, track):
    import os
    if "{where}" == "evidence":
        os._exit(6)
    return {{}}


@family''',
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("where", "death"), [("row", 5), ("evidence", 6)])
def test_a_child_that_dies_over_the_evidence_costs_the_evidence_alone(clip, tmp_path, monkeypatch, where, death):
    own_registry(monkeypatch)
    text = KILLING.replace("{where}", where)
    write_plug_in(tmp_path, "theirs_" + where, family="a_cue", text=text, named=False)  # before those of networks
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"theirs_{where}.cue"
    __import__(module)
    settings = worker.Settings(families=("a_cue",), modules=(module,))
    examiner = Examiner(settings, Limits(), faces_per_second=2.0, show_faces=True)
    try:
        row, none = examiner.measure("page.mp4", clip)
    finally:
        examiner.close()
    assert none is None
    assert row.status == "partial"
    assert row.error == f"the evidence could not be made: the measuring process died (exit status {death})"
    assert dict(zip(worker.column_names(("a_cue",)), row.values.tolist(), strict=True))["a_cue.frames_n"] == 30


@pytest.mark.parametrize("content", ["saved", "damaged", "half"])
def test_no_face_outlives_the_measurement_in_the_folder(tmp_path, monkeypatch, content):
    """Non-regression test: the evidence of the last clip, with its face images, stayed in the temporary folder."""
    examiner = Examiner(SETTINGS, Limits(), faces_per_second=2.0, show_faces=True, folder=tmp_path)
    file = examiner._file
    assert file.parent.parent == tmp_path

    def measure(filename, path):
        if content == "saved":
            evidence_store.save(ClipEvidence(filename, 1.0, 32, 24, (), 0, {}, ((0.0, JPEG),), {}), file)
        else:
            file.with_name(file.name + (".1.part" if content == "half" else "")).write_bytes(JPEG)
        return worker.Result(filename, "ok", "", np.empty(0, np.float32))

    monkeypatch.setattr(examiner._sandbox, "measure", measure)
    row, found = examiner.measure("page.mp4", "page.mp4")
    assert (found is not None, row.status) == (content == "saved", "partial" if content == "damaged" else "ok")
    assert list(file.parent.iterdir()) == []
    examiner.close()
    assert list(tmp_path.iterdir()) == []


def test_a_family_of_a_notebook_keeps_nobody_from_the_evidence_of_the_others(clip, monkeypatch):
    own_registry(monkeypatch)
    exec(MODULE.format(family="mycue"), {"__name__": "__main__"})
    asked = {}

    class Child:
        def __init__(self, settings, limits, **options):
            asked.update(settings=settings, **options)

        def measure(self, filename, path):
            return worker.failed(filename, "unreadable", "no video", (), reason=Reason.UNREADABLE), None

        def close(self):
            asked["closed"] = True

    monkeypatch.setattr(pipeline, "Examiner", Child)
    table, none = pipeline.examine(ClipEntry("page.mp4", clip), families=(), faces_per_second=3, show_faces=False)
    assert (table["status"].to_pylist(), none) == (["unreadable"], None)
    assert asked["settings"].modules == ()
    assert (asked["faces_per_second"], asked["show_faces"], asked["closed"]) == (3, False, True)
    with pytest.raises(InputError, match="families mycue: defined in this notebook"):
        pipeline.examine(ClipEntry("page.mp4", clip), families=["mycue"])
    with pytest.raises(InputError, match="faces_per_second = 0: must be a finite number above 0"):
        pipeline.examine(ClipEntry("page.mp4", clip), faces_per_second=0)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_boxes_of_turned_frames_lie_where_players_show_the_face(quarters):
    """Non-regression test: the page's player shows the file as it is, and its boxes were those of the turned frames."""
    shown = np.zeros((40, 80))
    shown[4:14, 50:70] = 1
    rows, columns = np.nonzero(np.rot90(shown, quarters))
    height, width = np.rot90(shown, quarters).shape
    box = [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]
    found = evidence._as_shown(np.array([box, box], np.float32), quarters)
    np.testing.assert_allclose(found, [[50 / 80, 4 / 40, 70 / 80, 14 / 40]] * 2, atol=1e-6)

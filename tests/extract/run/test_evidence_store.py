"""Evidence in a file: what is loaded equals what was saved, and anything else is refused in one sentence."""

import contextlib
import dataclasses

import numpy as np
import pytest

from extract.run import evidence_store
from features.errors import DatasetError
from features.evidence import ClipEvidence, Event, JudgedFace, Person, Series


def evidence(**changes):
    lids = Series(
        [0.0, 0.1, 0.2], [1.0, np.nan, 0.9], unit="1", title="Eye openness", events=(Event(0.05, 0.15, "blink"),)
    )
    light = Series([0.5], [120.0], unit="grey levels", title="Light", evidence=False, window_s=1.0)
    face = JudgedFace(0.5, (0.1, 0.2, 0.3, 0.4), b"\xff\xd8face", {"forensic_cnn": -1.25})
    hidden = JudgedFace(1.0, (0.1, 0.2, 0.3, 0.4), b"", {})
    person = Person(
        np.array([0.0, 0.04]),
        np.array([[0.1, 0.2, 0.3, 0.4]] * 2, np.float32),
        (face, hidden),
        {"blink.openness": lids, "quality.light": light},
        b"\xff\xd8map",
        {"eyes": 0.25, "mouth": -1.5},
        (0.5, 0.1),
    )
    other = Person(np.empty(0), np.empty((0, 4), np.float32), (), {})
    values = {
        "filename": "dir/ä.mp4", "duration_s": 10.0 / 3.0, "width": 640, "height": 360, "people": (person, other),
        "n_faces_detected": 3, "audio": {"forensic_voice.logit": light}, "filmstrip": ((0.25, b"a"), (5.1, b"bb")),
        "cues": {"blink.count": 3.0, "blink.dur_med_s": float("nan")},
        "lead_s": 0.75,
    }  # fmt: skip
    return ClipEvidence(**(values | changes))


def same(a, b):
    """Equal to the bit, NaN included."""
    if dataclasses.is_dataclass(a):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        same(tuple(a.values()), tuple(b.values()))
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        assert a == b or np.isnan([a, b]).all()


@pytest.mark.parametrize("changes", [{}, {"people": (), "audio": {}, "filmstrip": (), "cues": {}}])
def test_what_is_loaded_equals_what_was_saved(tmp_path, changes):
    file = tmp_path / "clip.evidence"
    evidence_store.save(evidence(**changes), file)
    same(evidence_store.load(file), evidence(**changes))
    assert [one.name for one in tmp_path.iterdir()] == ["clip.evidence"]


def test_the_former_name_of_the_audio_series_still_works():
    found = evidence()
    assert found.sound is found.audio


def test_a_file_of_before_there_were_windows_is_read(tmp_path, monkeypatch):
    def without_windows(*arguments):
        return [{k: v for k, v in one.items() if k != "window_s"} for one in described(*arguments)]

    described = evidence_store._of_series
    monkeypatch.setattr(evidence_store, "_of_series", without_windows)
    evidence_store.save(evidence(), tmp_path / "clip.evidence")
    assert evidence_store.load(tmp_path / "clip.evidence").audio["forensic_voice.logit"].window_s == 0.0


def test_another_version_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "clip.evidence"
    evidence_store.save(evidence(), file)
    monkeypatch.setattr(evidence_store, "EVIDENCE_VERSION", 3)
    with pytest.raises(DatasetError, match=r"\(version 2; this program reads version 3\); measure the clip again"):
        evidence_store.load(file)


def test_what_is_no_evidence_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "clip.evidence"
    for content in (b"", b"text", b"PK\x03\x04"):
        file.write_bytes(content)
        with pytest.raises(DatasetError, match=r"clip\.evidence: can't be read as evidence of a clip") as caught:
            evidence_store.load(file)
        assert "\n" not in str(caught.value)
    evidence_store.save(evidence(), file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(DatasetError):
        evidence_store.load(file)
    evidence_store.save(evidence(), file)
    whole = file.read_bytes()
    entries = [at for at in range(len(whole) - 3) if whole[at : at + 4] in (b"PK\x03\x04", b"PK\x01\x02")]
    for at in entries:  # of zip entries the version, the flags, and how they are compressed: no two raise the same
        for byte in range(4, 12):
            file.write_bytes(whole[: at + byte] + bytes([whole[at + byte] ^ 33]) + whole[at + byte + 1 :])
            with contextlib.suppress(DatasetError):
                evidence_store.load(file)
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    with pytest.raises(DatasetError):
        evidence_store.load(tmp_path / "other.npz")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        evidence_store.save(evidence(), tmp_path / "absent" / "clip.evidence")
    assert not list(tmp_path.iterdir())

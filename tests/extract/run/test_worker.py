"""One clip: the codes of its row, and a process that is as it was before."""

import os
import shutil
import zlib
from dataclasses import replace
from typing import ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from people import CHEAP

from extract.run import worker
from extract.run.observation_store import ObservationStore, is_of, kept_name
from features import observation, spec
from features.reasons import Reason
from features.spec import Column, Family

FAMILIES = ("blink", "lip_sync", "voice", "forensic_cnn")
SETTINGS = worker.Settings(FAMILIES)


def test_a_clip_with_everything_has_no_reasons(talking_head):
    assert worker.row("a.mp4", talking_head(duration_s=6.0), worker.Settings(CHEAP)).reasons == {}


def test_reasons_of_a_clip_without_audio_and_face(talking_head):
    silent = replace(talking_head(duration_s=4.0, audio=False), tracks=())
    result = worker.row("a.mp4", silent, SETTINGS)
    assert result.status == "no_face"
    assert result.reasons == {
        "blink": "no_face",
        "lip_sync": "no_sound",
        "voice": "no_sound",
        "forensic_cnn": "no_face",
    }


def test_weights_that_are_not_installed(talking_head, tmp_path):
    settings = replace(SETTINGS, weights={"forensic_cnn": str(tmp_path / "absent.safetensors")})
    assert worker.row("a.mp4", talking_head(duration_s=4.0), settings).reasons == {"forensic_cnn": "not_installed"}


def test_a_clip_of_which_nothing_is_known_has_shares_of_0():
    result = worker.failed("a.mp4", "unreadable", "cut", ("eyes_teeth",), reason=Reason.UNREADABLE)
    values = dict(zip(worker.column_names(("eyes_teeth",)), result.values, strict=True))
    shares = {name for name, value in values.items() if value == 0}
    assert shares == {"eyes_teeth.valid_share", "eyes_teeth.valid_iris_share", "eyes_teeth.valid_teeth_share"}
    assert np.isnan([value for name, value in values.items() if name not in shares]).all()


def test_too_few_frames(talking_head):
    result = worker.row("a.mp4", talking_head(duration_s=0.2), worker.Settings(("blink",)))
    assert (result.status, result.reasons) == ("too_short", {"blink": "too_short"})
    assert result.error == "only 6 frames"
    assert worker.row("a.mp4", talking_head(duration_s=0.04), worker.Settings(("blink",))).error == "only 1 frame"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    """Non-regression test: nobody writes into a named pipe, and the run waited until its limit on wall time."""
    clip = tmp_path / "a.mp4"
    make = {"pipe": os.mkfifo, "device": lambda file: file.symlink_to("/dev/zero"), "folder": os.mkdir}
    make[kind](clip)
    result = worker.measure("a.mp4", str(clip), worker.Settings(("quality",)))
    assert (result.status, result.reasons) == ("unreadable", {"clip": "unreadable"})
    assert result.error.startswith("not a regular file")


def test_damage_and_an_observation_that_was_not_kept(talking_head):
    damaged = replace(talking_head(duration_s=4.0), warnings=("2 packets are damaged",))
    result = worker.row("a.mp4", damaged, worker.Settings(("quality",)))
    assert (result.status, result.reasons) == ("partial", {"observation": "damaged"})
    result = worker.row("a.mp4", damaged, worker.Settings(("quality",)), not_kept="disk full")
    assert result.reasons == {"observation": "not_kept"}
    assert "2 packets" in result.error
    assert "disk full" in result.error


@pytest.mark.parametrize(("broken", "reason"), [(True, Reason.FAILED), (False, Reason.UNUSABLE)])
def test_a_family_that_failed_and_one_that_found_nothing(talking_head, monkeypatch, broken, reason):
    def measure(observation, track):
        if broken:
            raise KeyError("x")
        return spec.unmeasured(column.name for column in columns)

    names = ("a_med", "valid_iris_share", "valid_share")
    columns = tuple(Column(f"made_up.{name}", description="A number.") for name in names)
    monkeypatch.setitem(spec.registry, "made_up", Family("made_up", 1, frozenset({"sound"}), columns, measure))
    result = worker.row("a.mp4", talking_head(duration_s=2.0), worker.Settings(("made_up",)))
    assert result.reasons == {"made_up": reason.value}


def test_measuring_changes_nothing_of_the_process(make_clip, tmp_path):
    import logging
    import random
    import warnings

    import cv2
    import numpy as np
    import torch

    def state():
        return (
            cv2.getNumThreads(),
            torch.get_num_threads(),
            dict(os.environ),
            os.getcwd(),
            list(logging.getLogger().handlers),
            list(warnings.filters),
            random.getstate(),
            np.random.get_state()[1].tobytes(),
            torch.get_rng_state().numpy().tobytes(),
            torch.is_grad_enabled(),
        )

    path = shutil.copy(make_clip("talk.mp4", tone_s=1.2), tmp_path / "a.mp4")
    threads = cv2.getNumThreads()
    worker.measure("first.mp4", str(path), worker.Settings(FAMILIES))  # imports
    try:
        cv2.setNumThreads(3)
        before = state()
        assert worker.measure("a.mp4", str(path), worker.Settings(FAMILIES)).status == "ok"
        assert state() == before
    finally:
        cv2.setNumThreads(threads)


def test_a_face_that_no_family_could_use_is_said(talking_head):
    """Non-regression test: such a clip was ok, with every cue of the face undefined."""
    seen = talking_head(duration_s=4.0)
    (track, *_) = seen.tracks
    lost = replace(track, landmarks=np.full_like(track.landmarks, np.nan), crops=(), crop_index=track.crop_index[:0])
    lost = replace(lost, crop_box=track.crop_box[:0], embedding=track.embedding[:0], patch_face=(), patch_background=())
    result = worker.row("a.mp4", replace(seen, tracks=(lost,)), worker.Settings(("blink", "landmark_jitter", "voice")))
    assert result.status == "partial"
    assert "too small or too briefly seen" in result.error
    assert "too small" not in worker.row("a.mp4", seen, worker.Settings(("blink", "landmark_jitter"))).error


def test_a_damaged_observation_is_made_again(talking_head, tmp_path):
    """Non-regression test: zlib's error ended the clip as crashed, in every run."""
    store = ObservationStore(str(tmp_path))
    store.save("a.mp4", "key", talking_head(duration_s=2.0))
    assert store.load("a.mp4", "key") is not None
    file = tmp_path / "a.mp4.npz"
    content = bytearray(file.read_bytes())
    content[200:260] = b"\xff" * 60  # in the first entry
    file.write_bytes(content)
    with pytest.raises(zlib.error):
        observation.load(str(file))
    assert store.load("a.mp4", "key") is None


@pytest.mark.parametrize("name", ["s3://b/x/a.mp4", "file:///x/a.mp4", "zip://a.mp4::s3://b/x.zip", "/x/a.mp4"])
def test_a_clip_that_is_called_by_its_url_is_kept_in_the_folder(talking_head, tmp_path, name):
    """Non-regression test: the place was taken for one in another store, and the clip crashed."""
    store = ObservationStore(str(tmp_path / "kept"))
    assert store.held({name: "key"}) == frozenset()
    store.save(name, "key", talking_head(duration_s=2.0))
    assert store.load(name, "key") is not None
    assert store.held({name: "key"}) == {name}
    assert store.held({name: "another"}) == frozenset()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_looks_like_a_chained_url_is_a_folder(talking_head, tmp_path):
    """Non-regression test: fsspec took `exp::2` for one store in another, and wrote over the file `exp`."""
    (tmp_path / "exp").write_text("precious")
    store = ObservationStore(str(tmp_path / "exp::2" / "kept"))
    store.save("a.mp4", "key", talking_head(duration_s=2.0))
    assert store.load("a.mp4", "key") is not None
    assert (tmp_path / "exp").read_text() == "precious"
    assert (tmp_path / "exp::2" / "kept" / "a.mp4.npz").is_file()


@pytest.mark.parametrize(("key", "is_said"), [("3:2:5:120", False), ("3:2:6:20", False), ("4:2:6:120", True)])
def test_the_observation_of_another_file_is_replaced_with_a_word(talking_head, tmp_path, caplog, key, is_said):
    """Non-regression test: two data sets that shared a folder replaced each other's observations in silence."""
    store = ObservationStore(str(tmp_path))
    store.save("a.mp4", key, talking_head(duration_s=2.0))
    assert store.load("a.mp4", "3:2:6:120") is None
    assert ("is of another file" in caplog.text) == is_said


@pytest.mark.parametrize("protocol", ["file", "local"])
def test_a_file_of_this_machine_is_the_same_by_its_url(tmp_path, protocol):
    """Non-regression test: its time of change was read as another number."""
    (tmp_path / "a.mp4").write_bytes(b"x")
    path, url = str(tmp_path / "a.mp4"), f"{protocol}://{tmp_path}/a.mp4"
    store = ObservationStore("")
    assert store.key(url, 9.0) == store.key(path, 9.0)
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1))
    assert is_of(store.key(path, 9.0), url)


@pytest.mark.parametrize("mark", ["ETag", "etag", "last_modified", "Last-Modified", "updated", "checksum"])
def test_a_remote_file_that_changed_is_another_whatever_its_store_calls_the_mark(mark):
    """Non-regression test: of stores that write `etag`, one of the same size was taken for the same."""

    class Spelled(MemoryFileSystem):
        protocol = "spelled"
        version = "one"

        def info(self, path, **_):
            return {"name": path, "size": 3, "type": "file", mark: self.version}

    fsspec.register_implementation("spelled", Spelled, clobber=True)
    store = ObservationStore("")
    before = store.key("spelled://a.mp4", 9.0)
    assert store.key("spelled://a.mp4", 9.0) == before
    Spelled.version = "two"
    assert store.key("spelled://a.mp4", 9.0) != before


@pytest.mark.parametrize("letter", ["x", "\u3042", "\udce9"], ids=["ascii", "japanese", "no_utf8"])
def test_observations_of_the_longest_file_names_are_kept_apart(tmp_path, talking_head, letter):
    """Non-regression test: those of names above 237 bytes were not, and their clips were measured by every run."""
    size = len(os.fsencode(letter))
    names = [f"part/{letter * ((255 - 5) // size)}{number}.mp4" for number in (1, 2)]
    assert {len(os.fsencode(os.path.basename(name))) for name in names} <= {253, 254, 255}
    store, observed = ObservationStore(str(tmp_path)), talking_head(duration_s=0.4)
    for name in names:
        store.save(name, f"key of {name[-5]}", observed)
    assert store.held({name: f"key of {name[-5]}" for name in names}) == set(names)
    assert len(list((tmp_path / "part").iterdir())) == 2


def test_names_that_fit_are_kept_as_they_are():
    assert kept_name(f"part/{'x' * 237}") == f"part/{'x' * 237}.npz"
    assert len(kept_name("x" * 238)) == 237 + len(".npz")


class Listed(MemoryFileSystem):
    """A store of a hundred files in one folder, whose listing is kept, and which counts the questions after a file."""

    protocol = "listed"
    marked = True
    asked: ClassVar[list[str]] = []

    def info(self, path, **_):
        self.asked.append(path)
        return {"name": path, "size": 3, "type": "file", "ETag": path}

    def list_all(self):
        marks = [{"ETag": name} if self.marked else {} for name in NAMES]
        self.dircache["listed://set"] = [
            {"name": name, "size": 3, "type": "file", **mark} for name, mark in zip(NAMES, marks, strict=True)
        ]


NAMES = [f"listed://set/{number}.mp4" for number in range(100)]


@pytest.mark.parametrize(("marked", "asked"), [(True, 1), (False, len(NAMES))], ids=["as_info_has", "without_marks"])
def test_a_listing_is_read_once_and_not_searched_for_every_file(monkeypatch, marked, asked):
    """Non-regression test: fsspec reads the listing of a folder from its start for each of the folder's files."""
    fsspec.register_implementation("listed", Listed, clobber=True)
    monkeypatch.setattr(Listed, "marked", marked)
    monkeypatch.setattr(Listed, "asked", [])
    fs = fsspec.filesystem("listed")
    fs.list_all()
    store = ObservationStore("")
    keys = [store.key(name, 9.0) for name in NAMES]
    assert len(fs.asked) == asked
    assert keys == [ObservationStore("").key(name, 9.0) for name in NAMES]


def test_a_store_that_fails_in_its_own_way_costs_no_row(make_clip, tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Unable to locate credentials")

    monkeypatch.setattr(ObservationStore, "save", refuse)
    settings = worker.Settings(("blink",), observations=str(tmp_path / "kept"))
    result = worker.measure("a.mp4", str(make_clip("talk.mp4", tone_s=1.2)), settings)
    assert (result.status, result.reasons["observation"]) == ("partial", "not_kept")
    assert "can't be kept (Unable to locate credentials)" in result.error


def test_embeddings_wait_for_a_family_that_reads_them(make_clip):
    """They need a network that takes longer to load than a short clip to measure; the numbers do not depend on it."""
    path = str(make_clip("face.mp4", n=60))
    with_them, observed = worker.measured("a.mp4", path, worker.Settings(("blink", "identity")))
    _, without = worker.measured("a.mp4", path, worker.Settings(("blink",)))
    assert np.isfinite(observed.tracks[0].embedding).any()
    assert np.isnan(without.tracks[0].embedding).all()
    later = worker.row("a.mp4", without, worker.Settings(("blink", "identity")))
    np.testing.assert_array_equal(later.values, with_them.values)
    assert np.isfinite(later.values).sum() > 10


@pytest.mark.parametrize(
    ("families", "read"), [(("blink", "quality"), False), (("identity",), True), (("theirs",), True)]
)
def test_a_family_of_another_package_may_read_embeddings(families, read):
    assert worker._reads_embeddings(families) is read

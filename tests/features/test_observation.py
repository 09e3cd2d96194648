"""An observation loads as it was saved, executes nothing, and refuses what it is not."""

import io
import json
import pickle
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest

from features import observation as obs
from features.errors import DatasetError
from features.observation import Track


def equal(a, b):
    if isinstance(a, tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    return a == b


def same(a, b):
    alike = all(equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name != "tracks")
    tracks = all(
        equal(getattr(x, f.name), getattr(y, f.name))
        for x, y in zip(a.tracks, b.tracks, strict=True)
        for f in fields(Track)
    )
    return alike and tracks


@pytest.mark.parametrize("case", ["two_tracks", "silent", "no_face", "empty_patches", "lost"])
def test_what_is_loaded_equals_what_was_saved(talking_head, case):
    one = talking_head(duration_s=2.0, audio=case != "silent", patch=0 if case == "empty_patches" else 64)
    if case == "two_tracks":
        one = replace(one, tracks=(one.tracks[0], talking_head(duration_s=2.0).tracks[0]))
    if case == "no_face":
        one = replace(one, tracks=())
    if case == "lost":
        track = one.tracks[0]
        lost = track.landmarks.copy()
        lost[5:9] = np.nan
        one = replace(one, tracks=(replace(track, landmarks=lost, patch_face=(np.empty((0, 0), np.uint8),) * 16),))
    assert same(obs.load(io.BytesIO(obs.dumps(one))), one)


def test_a_crop_has_the_time_of_its_frame(talking_head):
    one = talking_head(duration_s=2.0)
    track = replace(one.tracks[0], frame_index=one.tracks[0].frame_index[10:], crop_index=np.array([0, 7], np.int32))
    assert one.crop_times_s(track) == pytest.approx([10 / 30, 17 / 30])  # the face came later


def test_save_and_load_by_path(talking_head, tmp_path):
    one = talking_head(duration_s=2.0)
    obs.save(one, str(tmp_path / "clip.npz"))
    assert same(obs.load(str(tmp_path / "clip.npz")), one)


@pytest.mark.parametrize("quarters", [0, 3])
def test_the_turn_of_the_frames_is_kept(talking_head, quarters):
    one = replace(talking_head(duration_s=2.0), quarters_turned=quarters)
    kept = obs.dumps(one)
    assert obs.load(io.BytesIO(kept)).quarters_turned == quarters
    with np.load(io.BytesIO(kept)) as archive:
        assert (b"quarters_turned" in archive["scalars"].tobytes()) == bool(quarters)


def test_features_of_the_loaded_equal_those_of_the_saved(talking_head):
    from features.families import blink, landmark_jitter

    one = talking_head(duration_s=4.0)
    two = obs.load(io.BytesIO(obs.dumps(one)))
    for family in (blink, landmark_jitter):
        a, b = family.measure(one, one.tracks[0]), family.measure(two, two.tracks[0])
        assert np.array_equal(list(a.values()), list(b.values()), equal_nan=True)


def test_the_file_holds_no_pickle_and_no_container_field(talking_head):
    with zipfile.ZipFile(io.BytesIO(obs.dumps(talking_head(duration_s=2.0)))) as archive:
        for name in archive.namelist():
            header = np.lib.format.read_magic(archive.open(name))
            assert header[0] >= 1
            array = np.lib.format.read_array(archive.open(name), allow_pickle=False)
            assert array.dtype != object
        scalars = np.lib.format.read_array(archive.open("scalars.npy"))
    assert not {"codec", "bit_rate", "filename", "date"} & json.loads(scalars.tobytes()).keys()


@pytest.mark.parametrize("loaded", [False, True])
def test_no_family_can_write_into_what_the_others_are_given(talking_head, loaded):
    """Non-regression: a family that wrote in place changed the numbers of every family after it."""
    one = talking_head(duration_s=2.0)
    one = obs.load(io.BytesIO(obs.dumps(one))) if loaded else one
    values = [getattr(of, f.name) for of in (one, *one.tracks) for f in fields(of)]
    arrays = [x for value in values for x in (value if isinstance(value, tuple) else (value,))]
    arrays = [x for x in arrays if isinstance(x, np.ndarray)]
    assert len(arrays) > 50
    assert not any(array.flags.writeable for array in arrays)
    with pytest.raises(ValueError, match="read-only"):
        one.tracks[0].landmarks[:] -= 1.0


def with_scalars(blob, **changes):
    arrays = dict(np.load(io.BytesIO(blob)))
    scalars = json.loads(arrays["scalars"].tobytes()) | changes
    arrays["scalars"] = np.frombuffer(json.dumps(scalars).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return io.BytesIO(file.getvalue())


def damaged(blob):
    """With an entry's compressed bytes altered, and with an entry compressed in a way that nobody knows."""
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        start = archive.getinfo("scalars.npy").header_offset + 30 + len("scalars.npy") + 20
        directory = archive.start_dir
    yield blob[:start] + b"\xff" * 60 + blob[start + 60 :]
    yield blob[: directory + 10] + b"\x63" + blob[directory + 11 :]


def test_a_kept_file_that_cannot_be_used_names_the_remedy(talking_head, tmp_path):
    file = tmp_path / "a.mp4.npz"
    file.write_bytes(obs.dumps(talking_head(duration_s=2.0)))
    assert obs.load_kept(file).n_faces == 1
    for content in (file.read_bytes()[:1000], b"", b"text", *damaged(file.read_bytes())):
        file.write_bytes(content)
        with pytest.raises(DatasetError, match="--observations again"):
            obs.load_kept(file)


def test_another_version_is_refused(talking_head):
    blob = obs.dumps(talking_head(duration_s=2.0))
    with pytest.raises(ValueError, match="observation of version 99; this program reads version 6"):
        obs.load(with_scalars(blob, version=99))


def test_a_foreign_file_is_refused():
    file = io.BytesIO()
    np.savez(file, anything=np.arange(3))
    with pytest.raises(ValueError, match="not an observation"):
        obs.load(io.BytesIO(file.getvalue()))


def test_a_pickle_inside_is_not_executed(talking_head):
    arrays = dict(np.load(io.BytesIO(obs.dumps(talking_head(duration_s=2.0)))))
    arrays["times_s"] = np.array([{"a": 1}], dtype=object)
    file = io.BytesIO()
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        obs.load(io.BytesIO(file.getvalue()))
    with pytest.raises(ValueError, match="pickled"):
        obs.load(io.BytesIO(pickle.dumps({"scalars": 1})))

"""Whose face or voice a forgery gets."""

from dataclasses import replace

import numpy as np
import pytest

from features.errors import ClipError, InputError
from forge.clips import donors
from forge.clips.clip import EditableClip
from forge.clips.recipe import ForgeryRecipe
from forge.clips.registry import kinds
from forge.clips.sources import Source
from forge.demo import portrait

SOURCE = Source("/a", "a.mp4", "a", "part", "pool0", ("/far.mp4", "/near.mp4", "/faceless.mp4"), 0)


def clip(name, gap=0.0, audio=True):
    """Twelve frames of a face whose mouth opens by ``gap`` px; NaN: no face."""
    points = np.repeat(portrait.load("astronaut").landmarks[None], 12, axis=0)
    points[:, 65:68, 1] += gap
    return EditableClip(name, [], np.arange(12) / 25, points, np.ones(9000, np.float32) if audio else None)


@pytest.fixture
def pool(monkeypatch):
    """The pool's clips, without files; one can't be read."""
    clips = {"/far.mp4": clip("far", 9.0), "/near.mp4": clip("near", 1.0), "/faceless.mp4": clip("faceless", np.nan)}
    clips["/faceless.mp4"] = replace(clips["/faceless.mp4"], landmarks=np.full((12, 68, 2), np.nan, np.float32))

    def read(path, **_):
        if path not in clips:
            raise ClipError("damaged")
        return clips[path]

    monkeypatch.setattr(donors, "read_clip", read)
    donors._read.cache_clear()
    yield clips
    donors._read.cache_clear()


def chosen(kind, parameters, *, source=SOURCE, voices=()):
    rng = np.random.default_rng(0)
    return donors.choose_donor(kinds()[kind], parameters, clip("target"), source, ForgeryRecipe(voices=voices), rng)


@pytest.mark.parametrize("kind", ["face_swap", "expression"])
def test_the_face_nearest_in_expression_is_taken(pool, kind):
    assert chosen(kind, {"source": "donor"}).name == "near.mp4"


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("expression", {"source": "moment"}), ("dub", {"voice": "synthetic"}), ("self_blend", {}), ("desync", {})],
)
def test_what_takes_no_donor_gets_none(pool, kind, parameters):
    assert chosen(kind, parameters) == donors.Donor()


def test_a_voice_needs_audio_and_no_face(pool):
    pool["/far.mp4"] = replace(pool["/far.mp4"], audio=None)
    pool["/near.mp4"] = replace(pool["/near.mp4"], audio=None)
    assert chosen("dub", {"voice": "donor"}).name == "faceless.mp4"


def test_an_empty_or_unreadable_pool_gives_no_donor(pool):
    assert chosen("face_swap", {}, source=replace(SOURCE, donors=())) == donors.Donor()
    assert chosen("face_swap", {}, source=replace(SOURCE, donors=("/gone.mp4",))) == donors.Donor()


def test_a_folder_for_voices_must_hold_files(tmp_path):
    with pytest.raises(InputError, match="holds no file"):
        donors.voice_files(tmp_path)
    (tmp_path / "b.wav").write_bytes(b"")
    (tmp_path / "a.wav").write_bytes(b"")
    assert donors.voice_files(tmp_path) == (str(tmp_path / "a.wav"), str(tmp_path / "b.wav"))

import csv
import hashlib
import json
import shutil

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from forge.clips.read import read_clip
from forge.clips.write import Encoder, write_clip
from forge.demo.dataset import record
from forge.face_ops import iod

KINDS = "face_swap,self_blend,expression,resynthesis,desync,dub,reencode"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two people, one clip without sound, one without a face, one that is no video."""
    folder = tmp_path_factory.mktemp("real")
    for name, person, seed in (("a.mp4", "astronaut", 0), ("b.mp4", "hopper", 1)):
        rng = np.random.default_rng(seed)
        clip = record(person, name, size=(320, 240), fps=15.0, duration_s=1.2, rng=rng)
        write_clip(clip, folder / name, Encoder(crf=16))
    write_clip(
        type(clip)("dull", [np.full((64, 64, 3), 90, np.uint8)] * 8, np.arange(8) / 8, clip.landmarks[:8], None),
        folder / "dull.mp4",
        Encoder(),
    )
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture(scope="module")
def made(real, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    assert deepcue(["forge", str(real), str(out), "--kinds", KINDS, "--seed", "4"]) == 0
    return out


def metadata(out):
    return json.loads((out / "dfdc_train_part_0" / "metadata.json").read_text())


def test_reader_finds_the_face_where_it_is(real):
    rng = np.random.default_rng(0)
    known = record("astronaut", "a", size=(320, 240), fps=15.0, duration_s=1.2, rng=rng).landmarks
    clip = read_clip(real / "a.mp4")
    assert clip.face_fraction > 0.9
    apart = np.linalg.norm(clip.landmarks - known, axis=-1).mean(1) / iod(known[0])
    assert np.nanmedian(apart) < 0.08


def test_every_forgery_names_kind_parameters_and_original(made):
    entries = metadata(made)
    fakes = {name: entry for name, entry in entries.items() if entry["label"] == "FAKE"}
    assert {entry["kind"] for entry in fakes.values()} == set(KINDS.split(",")) - {"reencode"}
    for name, entry in fakes.items():
        assert entry["original"] in entries
        assert entries[entry["original"]]["label"] == "REAL"
        assert entry["parameters"]
        assert entry["seed"][0] == 4
        assert entry["sha256"] == hashlib.sha256((made / "dfdc_train_part_0" / name).read_bytes()).hexdigest()
        if "reencode" not in name:
            assert entry["encoder"] == entries[entry["original"]]["encoder"]


def test_both_classes_are_sent_on_alike(made):
    entries = metadata(made)
    sent = {name: entry for name, entry in entries.items() if "reencode" in entry}
    assert len(sent) == len(entries) / 2
    assert {entry["label"] for entry in sent.values()} == {"REAL", "FAKE"}
    assert not list(made.rglob(".*"))  # no steps left behind
    a = [json.dumps(entry["reencode"]) for name, entry in sent.items() if name.startswith("a")]
    assert len(set(a)) == 1


def test_clips_that_lack_something_are_skipped_with_a_message(real, tmp_path, caplog):
    assert deepcue(["forge", str(real), str(tmp_path), "--kinds", "desync,self_blend"]) == 0
    told = caplog.text
    assert "dull.mp4: no desync: no sound" in told
    assert "dull.mp4: no self_blend: no face" in told
    assert "broken.mp4: left out" in told
    assert "dull.mp4" in metadata(tmp_path)
    assert "broken.mp4" not in metadata(tmp_path)


def test_the_manifest_is_one_that_extraction_reads(made):
    from extract.dataset import find_clips

    clips = find_clips(str(made / "manifest.csv"))
    assert len(clips) == len(metadata(made))
    with (made / "manifest.csv").open() as stream:
        swaps = [row for row in csv.DictReader(stream) if row["method"] == "face_swap"]
    groups = {clip.filename: clip.group for clip in clips}
    assert len({groups[row["filename"]] for row in swaps}) == 1  # who lends a face stays in the borrower's group


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(real, made, tmp_path):
    assert deepcue(["forge", str(real), str(tmp_path), "--kinds", KINDS, "--seed", "4", "--jobs", "2"]) == 0

    def digests(folder):
        return {
            str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("*.*"))
        }

    assert digests(tmp_path) == digests(made)


def test_kinds_are_taken_in_turn(real, tmp_path):
    assert deepcue(["forge", str(real), str(tmp_path), "--kinds", "self_blend,resynthesis", "--per-clip", "1"]) == 0
    made = [entry["kind"] for entry in metadata(tmp_path).values() if entry["label"] == "FAKE"]
    assert sorted(made) == ["resynthesis", "self_blend"]


def test_dubs_may_take_a_voice_from_a_folder(real, tmp_path):
    voices = tmp_path / "voices"
    voices.mkdir()
    shutil.copy(real / "b.mp4", voices / "voice.mp4")
    for name in (".DS_Store", "LICENSE.txt", "README"):  # what lies in such folders, too
        (voices / name).write_text("no sound")
    out = tmp_path / "out"
    command = [str(real), str(out), "--kinds", "dub", "--voices", str(voices), "--limit", "1", "--seed", "1"]
    assert deepcue(["forge", *command]) == 0
    dub = metadata(out)["a__dub.mp4"]
    assert dub["donor"] == "voice.mp4"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kinds", "magic"], "'magic' is no kind of forgery"),
        (["--kinds", ","], "nothing named"),
        (["--voices", "nowhere"], "--voices: nowhere holds no file"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(real, tmp_path, capsys, arguments, words):
    assert deepcue(["forge", str(real), str(tmp_path), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_empty_folder_is_told_in_a_sentence(tmp_path, capsys):
    assert deepcue(["forge", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "no clip in it" in capsys.readouterr().err


def test_a_folder_without_a_readable_clip_is_told_in_a_sentence(tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    assert deepcue(["forge", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "none of its 1 clips could be read" in capsys.readouterr().err

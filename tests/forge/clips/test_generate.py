import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from features.errors import InputError
from forge.clips import sources
from forge.clips.generate import ENCODING_STREAM, TRANSCODING_STREAM, _forgery, _stream, make
from forge.clips.read import read_clip
from forge.clips.recipe import ForgeryRecipe
from forge.clips.registry import kinds
from forge.clips.write import Encoder, write_clip
from forge.demo.dataset import record
from forge.face_ops import iod
from training.manifest import training_clips

ROOT = Path(__file__).resolve().parents[3]
ONE = ("--jobs", "1")  # in this process: each further one is a start of seconds
KINDS = "face_swap,self_blend,expression,resynthesis,desync,dub,reencode"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two people, one clip without audio, one without a face, one that is no video."""
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
    assert deepcue(["forge", str(real), str(out), "--kinds", KINDS, "--seed", "4", *ONE]) == 0
    return out


def digests(folder):
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def started(*words, **more):
    """The command as a process of its own."""
    command = [sys.executable, "-m", "deepcue", "forge", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


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


def test_the_manifest_says_what_is_forged_as_training_reads_it(made):
    clips = training_clips(made / "manifest.csv")
    entries = metadata(made)
    assert len(clips) == len(entries)
    for clip in clips:
        entry = entries[clip.filename.rpartition("/")[2]]
        parts = set(entry["part"].replace(" and ", " ").split()) if entry["label"] == "FAKE" else set()
        assert clip.forged == parts


def test_both_classes_are_transcoded_alike(made):
    entries = metadata(made)
    sent = {name: entry for name, entry in entries.items() if "reencode" in entry}
    assert len(sent) == len(entries) / 2
    assert {entry["label"] for entry in sent.values()} == {"REAL", "FAKE"}
    assert not list(made.rglob(".*"))  # no steps left behind
    a = [json.dumps(entry["reencode"]) for name, entry in sent.items() if name.startswith("a")]
    assert len(set(a)) == 1


def test_clips_that_lack_something_are_skipped_with_a_message(real, tmp_path, caplog):
    assert deepcue(["forge", str(real), str(tmp_path), "--kinds", "desync,self_blend", *ONE]) == 0
    messages = caplog.text
    assert "dull.mp4: no desync: no audio" in messages
    assert "dull.mp4: no self_blend: no face" in messages
    assert "broken.mp4: left out" in messages
    assert "dull.mp4" in metadata(tmp_path)
    assert "broken.mp4" not in metadata(tmp_path)


def test_the_manifest_is_one_that_extraction_reads(made):
    from extract.dataset import find_clips

    clips = find_clips(str(made / "manifest.csv"))
    assert len(clips) == len(metadata(made))
    with (made / "manifest.csv").open() as stream:
        swaps = [row for row in csv.DictReader(stream) if row["method"] == "face_swap"]
    groups = {clip.filename: clip.group for clip in clips}
    assert len({groups[row["filename"]] for row in swaps}) == 1  # a donor stays in the forgery's group


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(real, made, tmp_path):
    """Neither the number of processes nor an earlier run changes a file."""
    assert deepcue(["forge", str(real), str(tmp_path), "--kinds", KINDS, "--seed", "4", "--jobs", "2"]) == 0
    files = digests(tmp_path)
    assert files == digests(made)
    assert {Path(name).name for name in files} > {"a.mp4", "a__self_blend.mp4", "b__self_blend.mp4", "manifest.csv"}


def test_an_interrupted_run_leaves_no_process_and_no_partial_file(real, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(40):
        shutil.copy(real / "a.mp4", many / f"{number:02}.mp4")
    out = tmp_path / "out"
    process = started(many, out, "--kinds", KINDS, "--jobs", "2", "--quiet", start_new_session=True)
    while not any(out.rglob("*.mp4")):  # until the first clip is there
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the command and its children
    _, messages = process.communicate()
    assert process.returncode == 130
    assert [line for line in messages.splitlines() if line.strip()] == [messages.strip()]
    assert messages.strip().startswith("stopped")
    assert not list(out.rglob(".*"))
    while group_lives(process.pid):
        time.sleep(0.05)


def test_what_ended_processes_left_is_removed(real, tmp_path):
    def interrupt(*_):
        (tmp_path / "dfdc_train_part_0" / ".b.mp4.partial").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(real, tmp_path, ForgeryRecipe(kinds=("desync",)), progress=interrupt)
    assert {file.name for file in tmp_path.rglob("*.*")} == {"a.mp4", "a__desync.mp4"}


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_kinds_are_taken_in_turn(real, tmp_path):
    taken = ["--kinds", "self_blend,resynthesis", "--per-clip", "1"]
    assert deepcue(["forge", str(real), str(tmp_path), *taken, *ONE]) == 0
    made = [entry["kind"] for entry in metadata(tmp_path).values() if entry["label"] == "FAKE"]
    assert sorted(made) == ["resynthesis", "self_blend"]


def test_dubs_may_take_a_voice_from_a_folder(real, tmp_path):
    voices = tmp_path / "voices"
    voices.mkdir()
    shutil.copy(real / "b.mp4", voices / "voice.mp4")
    for name in (".DS_Store", "LICENSE.txt", "README"):  # what lies in such folders, too
        (voices / name).write_text("no audio")
    out = tmp_path / "out"
    command = [str(real), str(out), "--kinds", "dub", "--voices", str(voices), "--limit", "1", "--seed", "1"]
    assert deepcue(["forge", *command, *ONE]) == 0
    dub = metadata(out)["a__dub.mp4"]
    assert dub["donor"] == "voice.mp4"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kinds", "magic"], "'magic' is not a kind of forgery"),
        (["--kinds", ","], "names no kind"),
        (["--voices", "nowhere"], "nowhere holds no file"),
        (["--jobs", "0"], "--jobs"),
        (["--max-seconds", "0"], "--max-seconds"),
        (["--max-seconds", "inf"], "--max-seconds"),
        (["--max-side", "0"], "--max-side"),
        (["--limit", "-1"], "--limit"),
        (["--per-clip", "-2"], "--per-clip"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(real, tmp_path, capsys, arguments, words):
    assert deepcue(["forge", str(real), str(tmp_path / "out"), *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_target_that_cannot_be_written_is_refused_before_the_work(real, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "out"):
        assert deepcue(["forge", str(real), str(target)]) == 2
        message = capsys.readouterr().err
        assert "can't be written" in message
        assert message.count("\n") == 1


def test_real_clips_are_never_overwritten(real, made, tmp_path, capsys):
    before = digests(real)
    for data, target in ((real, real), (real, real / "forged"), (made, made), (made / "dfdc_train_part_0", made)):
        assert deepcue(["forge", str(data), str(target), "--kinds", "desync"]) == 2
        assert "nor hold its clips" in capsys.readouterr().err
    assert digests(real) == before


def test_a_folder_with_an_earlier_forge_is_refused(real, made, tmp_path, capsys):
    """Non-regression test: clips of the earlier forge stayed without labels, and were forged as genuine ones later."""
    before = digests(made)
    stopped = tmp_path / "stopped"
    (stopped / "dfdc_train_part_0").mkdir(parents=True)
    (stopped / "dfdc_train_part_0" / "old__dub.mp4").write_bytes(b"a forgery")
    for target in (made, stopped):
        assert deepcue(["forge", str(real), str(target), "--kinds", "desync"]) == 2
        message = capsys.readouterr().err
        assert "already holds clips or a manifest; give a new folder" in message
        assert message.count("\n") == 1
    assert digests(made) == before
    (tmp_path / "dfdc_train_part_0").mkdir()  # an empty one is nobody's
    sources.check_target(str(real), tmp_path, [])


def test_metadata_says_what_a_kind_did_without_a_donor(real, tmp_path):
    """Non-regression test: ``voice: donor`` was said of voices that were synthesised, as no donor was there."""
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(real / "a.mp4", alone / "a.mp4")
    asked = []
    for seed in range(3):
        source = sources.find_sources(str(alone), seed)[0]
        clip = read_clip(alone / "a.mp4", max_seconds=0.5)
        for name, parameter in (("dub", "voice"), ("expression", "source")):
            rng = np.random.default_rng([seed, 0, list(kinds()).index(name)])
            asked.append(kinds()[name].sample(rng)[parameter])
            (_, entry), _ = _forgery(name, clip, source, ForgeryRecipe(seed=seed))
            assert entry["donor"] is None
            assert entry["parameters"][parameter] == {"dub": "synthetic", "expression": "moment"}[name]
    assert "donor" in asked


def test_the_direction_of_a_desync_does_not_follow_from_its_encoder(real):
    """Non-regression test: both drew from one stream, so that CRF 18 to 22 was always early, 23 and up late."""
    source = sources.find_sources(str(real), 0)[0]
    seen = set()
    for number in range(100):
        one = replace(source, number=number)
        encoder = Encoder.sample(_stream(one, ForgeryRecipe(), ENCODING_STREAM))
        desync = kinds()["desync"].sample(_stream(one, ForgeryRecipe(), list(kinds()).index("desync")))
        seen.add((encoder.crf < 23, desync["shift_s"] < 0))
    assert len(seen) == 4


def test_no_two_streams_of_a_clip_are_alike(real, made):
    source = sources.find_sources(str(real), 4)[0]
    streams = [*range(len(kinds())), ENCODING_STREAM, TRANSCODING_STREAM]
    first = {_stream(source, ForgeryRecipe(seed=4), number).random() for number in streams}
    assert len(first) == len(streams)
    encoder = Encoder.sample(_stream(source, ForgeryRecipe(seed=4), ENCODING_STREAM))
    assert metadata(made)[f"{source.name}.mp4"]["encoder"] == encoder.as_dict()


def test_a_clip_named_like_a_forgery_of_another_keeps_both(real, tmp_path, caplog):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(real / "a.mp4", data / "x.mp4")
    shutil.copy(real / "b.mp4", data / "x__self_blend.mp4")
    made = make(data, tmp_path / "out", ForgeryRecipe(kinds=("self_blend",), max_seconds=0.4))
    assert (made.n_real, made.n_fake) == (2, 2)
    assert "x__self_blend becomes x__self_blend-1" in caplog.text
    named = {name: entry["source"] for name, entry in metadata(tmp_path / "out").items()}
    assert named == {
        "x.mp4": "x.mp4",
        "x__self_blend.mp4": "x.mp4",
        "x__self_blend-1.mp4": "x__self_blend.mp4",
        "x__self_blend-1__self_blend.mp4": "x__self_blend.mp4",
    }


def test_it_is_a_function_with_keywords(real, tmp_path):
    seen = []
    made = make(
        real, tmp_path, ForgeryRecipe(kinds=("desync",), seed=1), limit=2, progress=lambda *now: seen.append(now)
    )
    assert (made.n_real, made.n_fake, made.n_left_out) == (2, 2, 0)
    assert made.manifest.exists()
    assert seen == [(1, 2, 0), (2, 2, 0)]
    with pytest.raises(InputError, match="not a kind of forgery"):
        ForgeryRecipe(kinds=("magic",))


def test_voices_without_audio_are_refused_in_one_line(real, tmp_path, capsys):
    voices = tmp_path / "voices"
    voices.mkdir()
    (voices / "LICENSE.txt").write_text("no audio")
    command = ["forge", str(real), str(tmp_path / "out"), "--kinds", "dub", "--voices", str(voices), "--seed", "1"]
    assert deepcue([*command, *ONE]) == 2
    assert "none of the 1 files for voices has audio" in capsys.readouterr().err


def test_the_help_lists_every_kind_with_a_line(capsys):
    assert deepcue(["forge", "--help"]) == 0
    text = capsys.readouterr().out
    for name, kind in kinds().items():
        assert kind.description
        assert f" {name} {kind.description} " in " ".join(text.split())


def test_an_empty_folder_is_refused_in_one_sentence(tmp_path, capsys):
    assert deepcue(["forge", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "no clip in it" in capsys.readouterr().err


def test_a_folder_without_a_readable_clip_is_refused_in_one_sentence(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.mp4").write_bytes(b"nothing")
    assert deepcue(["forge", str(data), str(tmp_path / "out"), *ONE]) == 2
    assert "none of its 1 clips could be read" in capsys.readouterr().err

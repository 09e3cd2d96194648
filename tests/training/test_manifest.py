"""Training reads a data set as extraction does, and says what it lacks."""

import json

import pytest

from deepcue.cli.main import main as deepcue
from features.errors import DatasetError
from training.manifest import clips_digest, forged_video, method_family, origin, training_clips

HEADER = "filename,label,group,method,fake_part\n"


def written(folder, text, name="m.csv"):
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("fake", ["FAKE", "fake", "1", "1.0", "true"])
def test_a_fake_clip_counts_as_fake_however_its_label_is_written(tmp_path, fake):
    """Non-regression test: 'fake' and '1' were trained on as REAL, without a word."""
    file = written(tmp_path, f"Filename, LABEL ,Group,Method,Fake_Part\na.mp4,{fake},g,loopy,picture\nb.mp4,real,g,,\n")
    a, b = training_clips(file)
    assert (a.label, a.method, a.forged) == ("FAKE", "loopy", {"picture"})
    assert (b.label, b.forged) == ("REAL", frozenset())


def test_clips_lie_where_extraction_looks_for_them(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"x")
    (clip,) = training_clips(written(tmp_path, HEADER + "a.mp4,REAL,g,real_a,\n"))
    assert clip.path == str(tmp_path / "videos" / "a.mp4")


@pytest.mark.parametrize(
    ("part", "is_forged"), [("picture", True), ("picture and voice", True), ("Voice, Picture", True), ("voice", False)]
)
def test_forged_part_tells_whether_the_video_is_forged(tmp_path, part, is_forged):
    (clip,) = training_clips(written(tmp_path, HEADER + f'a.mp4,FAKE,g,loopy,"{part}"\n'))
    assert forged_video(clip) is is_forged
    assert ("voice" in clip.forged) is ("voice" in part.lower())


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("filename,label,group\na.mp4,FAKE,g\nb.mp4,REAL,g\n", "'method'"),
        ("filename,label,group,method\na.mp4,FAKE,g,loopy\n", "'fake_part'"),
        (HEADER + "a.mp4,FAKE,g,loopy,picture\nb.mp4,FAKE,g,,picture\n", "'method' is empty for b.mp4"),
        (HEADER + "a.mp4,FAKE,g,loopy,picture\nb.mp4,FAKE,g,loopy,hair\n", "'fake_part' is empty for b.mp4"),
        ("filename,group\na.mp4,g\n", "'label'"),
    ],
)
def test_a_missing_column_is_named(tmp_path, text, column):
    with pytest.raises(DatasetError, match=column) as caught:
        training_clips(written(tmp_path, text))
    assert "training needs the columns" in str(caught.value)


@pytest.mark.parametrize("command", ["train-faces --stills s --faces f", "train-voice"])
def test_the_commands_refuse_the_readmes_manifest_in_one_sentence(tmp_path, capsys, command):
    """Non-regression test: a manifest of filename,label,group ended in KeyError: 'method'."""
    file = written(tmp_path, "filename,label,group\na.mp4,FAKE,g\nb.mp4,REAL,g\n")
    assert deepcue([*command.split(), "--clips", str(file), "--out", str(tmp_path / "o")]) == 2
    message = capsys.readouterr().err
    assert "training needs the columns" in message
    assert "Traceback" not in message
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", ["train-faces", "train-voice"])
def test_the_help_says_which_columns_training_needs(capsys, command):
    assert deepcue([command, "--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "with the columns filename, label and group, and for FAKE clips method" in output
    assert "fake_part (picture; voice: synthetic speech; sound: shifted, or another recording, which" in output


def test_a_folder_that_forge_wrote_can_be_trained_on(tmp_path):
    """Its metadata call the method ``kind`` and the forged part ``part``; shifted audio is neither video nor voice."""
    entries = {
        "a.mp4": {"label": "REAL", "original": None, "source": "phone", "group": "g"},
        "a__face_swap.mp4": {
            "label": "FAKE",
            "original": "a.mp4",
            "kind": "face_swap",
            "part": "picture",
            "group": "g",
        },
        "a__desync.mp4": {"label": "FAKE", "original": "a.mp4", "kind": "desync", "part": "sound", "group": "g"},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    for name in entries:
        (tmp_path / name).write_bytes(b"x")
    clips = {clip.filename: clip for clip in training_clips(tmp_path)}
    assert {name: forged_video(clip) for name, clip in clips.items()} == {
        "a.mp4": False, "a__face_swap.mp4": True, "a__desync.mp4": False
    }  # fmt: skip
    assert [origin(clips[name]) for name in entries] == ["phone", "face_swap", "desync"]
    assert not any("voice" in clip.forged for clip in clips.values())


def test_clips_without_a_label_are_left_out(tmp_path, caplog):
    clips = training_clips(written(tmp_path, HEADER + "a.mp4,REAL,g,real_a,\nb.mp4,,g,real_a,\n"))
    assert [clip.filename for clip in clips] == ["a.mp4"]
    assert "1 clips without a label" in caplog.text


def test_the_digest_tells_what_is_said_of_clips_and_their_sizes(tmp_path):
    def digest(text):
        return clips_digest(training_clips(written(tmp_path, HEADER + text)))

    before = digest("a.mp4,FAKE,g,loopy,picture\n")
    assert digest("a.mp4,fake,g,loopy,picture\n") == before
    assert digest("a.mp4,FAKE,g,loopy,voice\n") != before
    assert digest("a.mp4,FAKE,g,loopy,picture\nb.mp4,REAL,g,,\n") != before
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert digest("a.mp4,FAKE,g,loopy,picture\n") != before


def test_methods_of_one_family_share_what_stands_before_the_first_underscore():
    assert method_family("audio_lip2speech_svts") == method_family("audio_x") == "audio"

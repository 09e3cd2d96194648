import json
import os

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from extract import pipeline
from extract.dataset import Clip, find_clips
from extract.from_csv import feature_table, read_csv
from extract.run.worker import Settings
from features.errors import DatasetError


@pytest.fixture
def challenge(tmp_path):
    """Two parts in the challenge's layout: b and c forged from a, d alone, e's original is not at hand."""
    for part, entries in {
        "part_0": {
            "a.mp4": {"label": "REAL", "split": "train"},
            "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
            "absent.mp4": {"label": "REAL", "split": "train"},
        },
        "part_1": {
            "c.mp4": {"label": "FAKE", "original": "a.mp4"},
            "d.mp4": {"label": "REAL"},
            "e.mp4": {"label": "FAKE", "original": "lost.mp4"},
            "f.mp4": {"label": "FAKE", "original": "lost.mp4"},
        },
    }.items():
        folder = tmp_path / part
        folder.mkdir()
        (folder / "metadata.json").write_text(json.dumps(entries))
        for name in entries:
            if name != "absent.mp4":
                (folder / name).write_bytes(b"x")
    (tmp_path / "part_1" / "unlisted.mp4").write_bytes(b"x")
    (tmp_path / "part_1" / "notes.txt").write_bytes(b"x")
    return tmp_path


def test_challenge_layout_gives_labels_and_connected_groups(challenge):
    clips = {clip.filename: clip for clip in find_clips(str(challenge))}
    assert sorted(clips) == [f"part_0/{x}.mp4" for x in "ab"] + [
        f"part_1/{x}.mp4" for x in ("c", "d", "e", "f", "unlisted")
    ]
    assert clips["part_0/b.mp4"].label == "FAKE"
    assert clips["part_0/a.mp4"].group == clips["part_0/b.mp4"].group == clips["part_1/c.mp4"].group
    assert clips["part_1/e.mp4"].group == clips["part_1/f.mp4"].group
    assert len({clip.group for clip in clips.values()}) == 4
    assert clips["part_1/unlisted.mp4"].label is None
    assert clips["part_1/d.mp4"].source == "part_1"


def test_what_programs_write_for_nothing_names_nothing(tmp_path):
    entries = {f"{x}.mp4": {"label": "FAKE", "original": "NaN", "group": "nan", "source": "null"} for x in "ab"}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    for name in entries:
        (tmp_path / name).write_bytes(b"x")
    clips = find_clips(str(tmp_path))
    assert len({clip.group for clip in clips}) == 2
    assert {clip.source for clip in clips} == {None}


def test_a_folder_whose_name_is_no_utf8_keeps_a_forgery_beside_its_original(tmp_path):
    for part in (os.fsencode(tmp_path) + b"/caf\xe9", os.fsencode(tmp_path / "part2")):
        os.mkdir(part)
        entries = {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}
        for name, content in (*((one, "x") for one in entries), ("metadata.json", json.dumps(entries))):
            with open(part + b"/" + name.encode(), "w") as file:
                file.write(content)
    clips = find_clips(str(tmp_path))
    assert [clip.filename for clip in clips] == ["caf\\xe9/a.mp4", "caf\\xe9/b.mp4", "part2/a.mp4", "part2/b.mp4"]
    assert [clip.group for clip in clips] == ["caf\\xe9/a.mp4"] * 2 + ["part2/a.mp4"] * 2
    for clip in clips:
        (clip.source or "").encode()
        assert os.path.isfile(clip.path)


def test_headers_of_a_manifest_may_be_capitals_and_have_spaces(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "m.csv").write_text("Filename, Label , GROUP\na.mp4, fake, g\n")
    (clip,) = find_clips(str(tmp_path / "m.csv"))
    assert (clip.label, clip.group) == ("FAKE", "g")


def test_metadata_may_give_groups(tmp_path):
    entries = {"a.mp4": {"label": "REAL", "group": "club"}, "b.mp4": {"label": "FAKE", "group": "club"}}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    for name in entries:
        (tmp_path / name).write_bytes(b"x")
    assert {clip.group for clip in find_clips(str(tmp_path))} == {"club"}


def test_plain_folder_is_searched_to_any_depth_and_links_do_not_loop(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "Ünï cödé.MP4").write_bytes(b"x")
    (tmp_path / "top.webm").write_bytes(b"x")
    (tmp_path / ".hidden.mp4").write_bytes(b"x")
    os.symlink(tmp_path, tmp_path / "deep" / "loop")
    assert [clip.filename for clip in find_clips(str(tmp_path))] == ["deep/er/Ünï cödé.MP4", "top.webm"]


def test_manifest_names_clips_labels_and_groups(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.mp4").write_bytes(b"x")
    (tmp_path / "m.csv").write_text("filename,label,group,method\na.mp4,real,g1,phone\nb.mp4,1,g1,\nc.mp4,,,\n")
    a, b, c = find_clips(str(tmp_path / "m.csv"))
    assert (a.label, a.group, a.source) == ("REAL", "g1", "phone")
    assert a.path == str(tmp_path / "files" / "a.mp4")
    assert (b.label, b.group) == ("FAKE", "g1")  # its file is missing: the row says so later
    assert (c.label, c.group) == (None, "c.mp4")


def test_manifest_originals_join_given_groups(tmp_path):
    rows = "filename,label,group,original\na.mp4,REAL,g1,\nb.mp4,FAKE,g2,a.mp4\nc.mp4,REAL,g2,\nd.mp4,REAL,g3,\n"
    (tmp_path / "m.csv").write_text(rows)
    assert [clip.group for clip in find_clips(str(tmp_path / "m.csv"))] == ["g1", "g1", "g1", "g3"]


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "no clip in it"),
        ({"notes.txt": ""}, "no clip in it"),
        ({"metadata.json": "{not json", "a.mp4": ""}, r"metadata\.json: not valid JSON"),
        ({"metadata.json": "[1]", "a.mp4": ""}, r"metadata\.json: expected"),
        ({"metadata.json": '{"a.mp4": {"label": "MAYBE"}}', "a.mp4": ""}, "entry 'a.mp4': label 'MAYBE'"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused_in_one_sentence(tmp_path, files, match):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=match) as caught:
        find_clips(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name,label\na,REAL\n", "no column 'filename'"),
        ("filename,label\na.mp4,REAL\na.mp4,FAKE\n", "line 3: a.mp4 appears twice in the manifest"),
        ("filename,label\n../../etc/passwd,REAL\n", "not a path below"),
        ("filename,label\na.mp4,perhaps\n", "line 2: label 'perhaps'"),
        ("", "no column 'filename'"),
        ("filename,label,Label\na.mp4,REAL,FAKE\n", "two columns are called 'label'"),
        ("filename,label\n", "no clip in it, the manifest ends after its header"),
        ("filename,label\na\0.mp4,REAL\n", "line 2: filename .* is not a path below"),
        ("filename,label\na.mp4,2.0\n", "line 2: label '2.0'"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_line(tmp_path, text, match):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DatasetError, match=match):
        find_clips(str(tmp_path / "m.csv"))


def test_a_missing_folder_is_named():
    with pytest.raises(DatasetError, match="/no/such/place"):
        find_clips("/no/such/place")


@pytest.mark.parametrize(
    ("written", "label"),
    [("1", "FAKE"), ("1.0", "FAKE"), ("True", "FAKE"), ("0.0", "REAL"), ("false", "REAL"), ("nan", None), ("", None)],
)
def test_labels_are_read_as_programs_write_them(tmp_path, written, label):
    """Non-regression test: pandas writes 1.0 and 0.0 as soon as one label is missing; they were refused."""
    (tmp_path / "m.csv").write_text(f"filename,label\na.mp4,{written}\n")
    assert find_clips(str(tmp_path / "m.csv"))[0].label == label


@pytest.mark.parametrize(
    ("value", "label"), [(1.0, "FAKE"), (0, "REAL"), (True, "FAKE"), (False, "REAL"), (None, None)]
)
def test_labels_of_metadata_may_be_numbers_and_truth_values(tmp_path, value, label):
    (tmp_path / "metadata.json").write_text(json.dumps({"a.mp4": {"label": value}}))
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert find_clips(str(tmp_path))[0].label == label


@pytest.mark.parametrize("shape", ["manifest", "metadata"])
def test_what_made_a_clip_and_which_part_is_forged(tmp_path, shape):
    rows = {
        "a.mp4": {"label": "fake", "method": "lips_x", "fake_part": "Picture and voice"},
        "b.mp4": {"label": "FAKE", "method": "dub", "fake_part": "sound"},
        "c.mp4": {"label": "REAL", "method": "real_phone", "fake_part": "picture"},
        "d.mp4": {"label": "FAKE", "method": "", "fake_part": ""},
    }
    for name in rows:
        (tmp_path / name).write_bytes(b"x")
    if shape == "manifest":
        lines = ["filename,label,method,fake_part", *(",".join([name, *row.values()]) for name, row in rows.items())]
        (tmp_path / "m.csv").write_text("\n".join(lines))
        clips = find_clips(str(tmp_path / "m.csv"))
    else:
        (tmp_path / "metadata.json").write_text(json.dumps(rows))
        clips = find_clips(str(tmp_path))
    assert [clip.method for clip in clips] == ["lips_x", "dub", "real_phone", ""]
    assert [clip.forged for clip in clips] == [{"picture", "voice"}, {"sound"}, frozenset(), frozenset()]


def test_a_single_clip_is_a_data_set(tmp_path):
    """Non-regression test: it was read as a manifest that is no UTF-8."""
    (tmp_path / "a.MP4").write_bytes(b"\xff\xfe")
    (clip,) = find_clips(str(tmp_path / "a.MP4"))
    assert (clip.filename, clip.path, clip.group) == ("a.MP4", str(tmp_path / "a.MP4"), "a.MP4")


def test_metadata_of_other_systems_names_the_clips(tmp_path, caplog):
    """Backslashes of Windows, and accents as a Mac spells them."""
    (tmp_path / "part").mkdir()
    for name in ("a.mp4", "caf\u00e9.mp4"):
        (tmp_path / "part" / name).write_bytes(b"x")
    entries = {
        "part\\a.mp4": {"label": "FAKE", "original": "part\\cafe\u0301.mp4"},
        "part/cafe\u0301.mp4": {"label": "REAL"},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    clips = find_clips(str(tmp_path))
    assert [(clip.filename, clip.label) for clip in clips] == [("part/a.mp4", "FAKE"), ("part/caf\u00e9.mp4", "REAL")]
    assert len({clip.group for clip in clips}) == 1
    assert "not there" not in caplog.text


def test_two_spellings_of_a_name_are_two_clips(tmp_path):
    names = ["caf\u00e9.mp4", "cafe\u0301.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "metadata.json").write_text(json.dumps({names[0]: {"label": "REAL"}, names[1]: {"label": "FAKE"}}))
    assert {clip.filename: clip.label for clip in find_clips(str(tmp_path))} == {names[0]: "REAL", names[1]: "FAKE"}


def test_a_folder_that_may_not_be_read_is_an_error_that_names_it(tmp_path, monkeypatch):
    """Its clips would be missing without a word. Root may read everything, so the refusal is played."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.mp4").write_bytes(b"x")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refused(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DatasetError, match=r"Permission denied.*closed"):
        find_clips(str(tmp_path))


def test_a_pipe_is_neither_folder_nor_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="write it to a file first"):
        find_clips(str(tmp_path / "pipe"))


@pytest.mark.parametrize("name", ["..", "folder", "folder/", "x/../.."])
def test_a_row_that_names_a_folder_is_refused(tmp_path, name):
    """Non-regression test: its row said "Is a directory"."""
    (tmp_path / "m" / "folder").mkdir(parents=True)
    (tmp_path / "m" / "manifest.csv").write_text(f"filename\n{name}\n")
    said = r"line 2: (filename .* is not a path below|folder is a folder; name the clips in it)"
    with pytest.raises(DatasetError, match=said):
        find_clips(str(tmp_path / "m" / "manifest.csv"))


def test_a_path_with_a_drive_letter_is_no_path_below_the_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text("filename\nC:\\clips\\a.mp4\n")
    with pytest.raises(DatasetError, match="not a path below the manifest's folder"):
        find_clips(str(tmp_path / "manifest.csv"))


@pytest.mark.parametrize("fails", ["isfile", "find"])
def test_a_store_that_fails_in_its_own_way_is_an_error_with_advice(monkeypatch, fails):
    """Non-regression test: missing credentials are no OSError in botocore, and ended as a fault of this program."""

    class NoCredentialsError(Exception):
        pass

    def refuse(*_, **__):
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(MemoryFileSystem, fails, refuse)
    with pytest.raises(DatasetError, match=r"memory://x: can't be read \(Unable.*check the path and your credentials"):
        find_clips("memory://x")


def test_a_clip_whose_store_fails_in_its_own_way_is_an_error_with_advice(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Unable to locate credentials")

    clip = Clip("a.mp4", "memory://x/a.mp4")
    assert pipeline._fingerprint(clip, Settings(())) == "absent", "its row will say so"
    monkeypatch.setattr(MemoryFileSystem, "info", refuse)
    with pytest.raises(DatasetError, match=r"memory://x/a.mp4: can't be read .*credentials"):
        pipeline._fingerprint(clip, Settings(()))


def test_only_the_folders_that_a_manifest_names_are_looked_at(tmp_path, monkeypatch):
    """Non-regression test: a foreign folder beside it that can't be read failed the run. Root may read all: played."""
    listed, listdir = [], os.listdir

    def refuse(folder):
        listed.append(str(folder))
        if "foreign" in str(folder):
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name in (f"videos/{decomposed}/a.mp4", "b.mp4", "foreign/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "m.csv").write_text(f"filename\n{composed}/a.mp4\nb.mp4\nc.mp4\n")
    b, c, a = find_clips(str(tmp_path / "m.csv"))
    assert a.path == str(tmp_path / "videos" / decomposed / "a.mp4")
    assert (b.path, c.path) == (str(tmp_path / "b.mp4"), str(tmp_path / "c.mp4"))  # that is missing
    assert not [folder for folder in listed if "foreign" in folder]
    monkeypatch.undo()
    remote = {clip.filename: clip.path for clip in find_clips((tmp_path / "m.csv").as_uri())}
    assert remote[f"{composed}/a.mp4"] == f"{tmp_path.as_uri()}/videos/{decomposed}/a.mp4"


def test_hidden_folders_hold_no_clips_wherever_they_are(tmp_path):
    """Non-regression test: a folder by its path had one clip, by its URL two."""
    for name in (".trash/a.mp4", "b/.c/d.mp4", "e/f.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    for place in (str(tmp_path), tmp_path.as_uri()):
        assert [clip.filename for clip in find_clips(place)] == ["e/f.mp4"]


@pytest.mark.parametrize("written", ["", "NA", " n/a ", "None", "nan", "NULL", "<NA>"])
def test_no_group_is_written_alike_in_manifests_and_in_tables_of_cues(tmp_path, written):
    """Non-regression test: `NA` was a group in the one, `None` in the other."""
    (tmp_path / "m.csv").write_text(f"filename,group\na.mp4,{written}\n b.mp4 , g \n")
    assert [(clip.filename, clip.group) for clip in find_clips(str(tmp_path / "m.csv"))] == [
        ("a.mp4", "a.mp4"),
        ("b.mp4", "g"),
    ]
    (tmp_path / "cues.csv").write_text(f"filename,label,group,x\na.mp4,REAL,{written},1\n b.mp4 ,FAKE, g ,NA\n")
    found = feature_table(read_csv(tmp_path / "cues.csv"))
    assert found["filename"].to_pylist() == ["a.mp4", "b.mp4"]
    assert found["group"].to_pylist() == ["a.mp4", "g"]


def test_a_manifest_in_a_folder_that_looks_like_a_chained_url_is_read(tmp_path):
    """Non-regression test: fsspec took `exp::2` for one store in another."""
    (folder := tmp_path / "exp::2").mkdir()
    (folder / "a.mp4").touch()
    (folder / "clips.csv").write_text("filename,label\na.mp4,REAL\n")
    assert [clip.label for clip in find_clips(str(folder / "clips.csv"))] == ["REAL"]

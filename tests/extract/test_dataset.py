import json
import os
import sys
import zipfile

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from deepcue import inputs
from extract import pipeline
from extract.clip.container import source_of
from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.file_store import Store, folder_and_name
from extract.from_csv import feature_table, read_csv
from extract.metadata import with_metadata
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
        ("filename,label\n", "the manifest has no line after its header"),
        ("filename,label\na\0.mp4,REAL\n", "line 2: filename .* is not a path below"),
        ("filename,label\na.mp4,2.0\n", "line 2: label '2.0'"),
        ('filename,label\na.mp4,REAL\n"b.mp4,FAKE\nc.mp4,FAKE\n', "line 3: filename 'b.mp4,FAKE' goes on in the next"),
        ('filename,label\n"a.mp4,REAL\n', "line 2: filename 'a.mp4,REAL' goes on in the next line"),
        ('filename,label,note\na.mp4,REAL,"x\nb.mp4,FAKE,\n', "line 2: note 'x' goes on in the next line"),
        ('filename,label\na.mp4,REAL,"x\nb.mp4,FAKE\n', "line 2: a cell 'x' goes on in the next line"),
        ('filename,label\n"a.mp4,REAL', "line 2: filename 'a.mp4,REAL' goes on in the next line"),
        (
            'filename,group\n\na.mp4,"anna\rb.mp4,ben\r',
            "line 3: group 'anna' goes on in the next line; close its quote",
        ),
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


def test_files_that_a_table_would_call_alike_are_refused(tmp_path):
    """Non-regression test: both rows had the numbers of one of them."""
    for name in (b"bad\xff.mp4", b"bad\\xff.mp4"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"2 files have the name bad\\xff.mp4 in a table; rename all but one"):
        find_clips(str(tmp_path))
    with pytest.raises(DatasetError, match="2 clips of the list"):
        inputs.listed_clips(sorted(tmp_path.iterdir()))


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

    clip = ClipEntry("a.mp4", "memory://x/a.mp4")
    assert pipeline.fingerprints([clip], Settings(())) == {"a.mp4": "absent"}, "its row will say so"
    monkeypatch.setattr(MemoryFileSystem, "info", refuse)
    with pytest.raises(DatasetError, match=r"memory://x/a.mp4: can't be read .*credentials"):
        pipeline.fingerprints([clip], Settings(()))


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


@pytest.fixture
def counted_calls():
    """What a function returns, and how many calls it took, of Python's functions and of built-in ones."""

    def counted(function):
        count = 0

        def count_calls(_, event, __):
            nonlocal count
            count += event in {"call", "c_call"}

        before = sys.getprofile()
        sys.setprofile(count_calls)
        try:
            return function(), count
        finally:
            sys.setprofile(before)

    return counted


def made(folder, names, **texts):
    """A folder of files, and the path of its manifest ``m.csv`` where one is given."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return str(folder / "m.csv")


@pytest.mark.parametrize(
    "original",
    ["000", "000.MP4", "real/000.mp4", "./c23/real/000", "/data/c23/real/000.mp4", "000.mp4,001.mp4", "1;000"],
)
def test_an_original_is_found_however_it_is_named(tmp_path, original, caplog):
    """Non-regression test: a FAKE clip and its original were parted by folds, without a word."""
    names = ["c23/real/000.mp4", "c23/fake/000.mp4", "c23/real/001.mp4"]
    rows = f'filename,label,original\n{names[0]},REAL,\n{names[1]},FAKE,"{original}"\n{names[2]},REAL,\n'
    clips = {clip.filename: clip for clip in find_clips(made(tmp_path, names, m=rows))}
    assert clips[names[0]].group == clips[names[1]].group
    assert (clips[names[2]].group == clips[names[1]].group) == ("001" in original)
    assert not caplog.text


def test_all_clips_that_an_original_may_be_are_kept_together(tmp_path, caplog):
    names = ["c23/real/000.mp4", "c40/real/000.mp4", "c23/fake/000_1.mp4", "c40/real/001.mp4", "other/000.mp4"]
    labels = ["REAL", "REAL", "FAKE", "REAL", "FAKE"]
    rows = [f"{name},{label},{'000' if '_' in name else ''}" for name, label in zip(names, labels, strict=True)]
    found = find_clips(made(tmp_path, names, m="\n".join(["filename,label,original", *rows])))
    groups = {clip.filename: clip.group for clip in found}
    assert {groups[name] for name in names[:3]} == {"000"}
    assert len(set(groups.values())) == 3, "another FAKE clip of that name is no original"
    assert "1 originals may be several clips each (000: 2)" in caplog.text


def test_fakes_whose_original_is_not_there_are_counted(tmp_path, caplog):
    rows = "filename,label,original\na.mp4,FAKE,gone\nb.mp4,FAKE,Gone.mp4\nc.mp4,REAL,\nd.mp4,FAKE,c\n"
    groups = [clip.group for clip in find_clips(made(tmp_path, ["a.mp4"], m=rows))]
    assert groups[0] == groups[1] == "Gone.mp4"
    assert groups[2] == groups[3] != groups[0]
    assert "originals of 2 of 3 FAKE clips are not among the clips (gone, ...)" in caplog.text


@pytest.mark.parametrize("original", ["", "-", "REAL", "original", "0", "unknown", "NA", ".", "/", ";"])
def test_what_names_no_original_joins_nothing(tmp_path, original):
    rows = "".join(f"{n}.mp4,FAKE,{original}\n" for n in "abc")
    found = find_clips(made(tmp_path, ["a.mp4"], m=f"filename,label,original\n{rows}"))
    assert [clip.group for clip in found] == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize("ids", ["012", "01"])
@pytest.mark.parametrize("reals", ["real_{}.mp4", "{:05}.mp4"])
def test_fakes_of_numbered_originals_are_kept_together(tmp_path, ids, reals):
    """Non-regression test: 0 and 1 were taken for labels, so that folds parted the fakes of one original."""
    fakes = "".join(f"f{n}.mp4,FAKE,{ids[n % len(ids)]}\n" for n in range(6))
    rows = fakes + "".join(f"{reals.format(n + 3)},REAL,\n" for n in range(3))
    groups = {
        clip.filename: clip.group for clip in find_clips(made(tmp_path, [], m=f"filename,label,original\n{rows}"))
    }
    assert [groups[f"f{n}.mp4"] for n in range(6)] == [ids[n % len(ids)] for n in range(6)]
    assert len(set(groups.values())) == len(ids) + 3


@pytest.mark.parametrize(
    ("originals", "n_groups"),
    [("1100", 4), ("0011", 4), ("0101", 2), ("1122", 2), ("110-", 4)],
    ids=["flag", "other_flag", "identities", "numbers", "mixed"],
)
def test_zeros_and_ones_name_no_original_where_they_repeat_the_label(tmp_path, originals, n_groups):
    labels = ["REAL", "REAL", "FAKE", "FAKE"]
    rows = "".join(f"{n}_x.mp4,{label},{cell}\n" for n, (label, cell) in enumerate(zip(labels, originals, strict=True)))
    found = find_clips(made(tmp_path, [], m=f"filename,label,original\n{rows}"))
    assert len({clip.group for clip in found}) == n_groups


@pytest.mark.parametrize(
    ("labels", "originals", "n_groups"),
    [
        ("RRFFR", ["0", "0", "0_x", "1_x", "0"], 3),
        ("RRFF?", ["1", "1", "0", "0", "0"], 5),
        ("RRFF", ["1", "1", "", ""], 4),
        ("RRFFF", ["0", "0", "0_x", "1_x", "0"], 3),
    ],
    ids=["filled_in", "unlabelled", "blank", "filled_in_of_fakes"],
)
def test_zeros_that_stand_for_no_original_join_nothing(tmp_path, labels, originals, n_groups):
    """Non-regression test: what pandas fills in put all clips into one group."""
    of = {"R": "REAL", "F": "FAKE", "?": ""}
    rows = "".join(
        f"{n}_x.mp4,{of[label]},{cell}\n" for n, (label, cell) in enumerate(zip(labels, originals, strict=True))
    )
    found = find_clips(made(tmp_path, [], m=f"filename,label,original\n{rows}"))
    assert len({clip.group for clip in found}) == n_groups


@pytest.mark.parametrize("path", ["{}/video.mp4", "/data/{}/video.mp4", "{}\\Video"])
def test_fakes_of_an_absent_original_are_kept_together_though_many_clips_have_its_name(tmp_path, path):
    """Non-regression test: more than 20 clips have the last part of its path, and all of it was passed over."""
    reals = "".join(f"p{n}/video.mp4,REAL,\n" for n in range(25))
    fakes = "".join(f"f{n}/fake.mp4,FAKE,{path.format(f'q{n // 2}')}\n" for n in range(4))
    found = find_clips(made(tmp_path, [], m=f"filename,label,original\n{reals}{fakes}"))
    groups = [clip.group for clip in found if clip.label == "FAKE"]
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert len({clip.group for clip in found}) == 27


def test_a_name_that_every_folder_has_means_the_nearest_file(tmp_path):
    rows = "".join(f"{n}/video.mp4,REAL,\n{n}/fakes/video.mp4,FAKE,video.mp4\n" for n in range(30))
    found = find_clips(made(tmp_path, [], m=f"filename,label,original\n{rows}"))
    assert len({clip.group for clip in found}) == 30
    assert all(clip.group.split("/")[0] == clip.filename.split("/")[0] for clip in found)


def test_many_clips_are_grouped_in_time_that_grows_with_their_number(tmp_path):
    """In the square of it, this would take minutes."""
    rows = "".join(f"real/{n}/video.mp4,REAL,\nfake/{n}.mp4,FAKE,video\n" for n in range(5000))
    (tmp_path / "m.csv").write_text(f"filename,label,original\n{rows}")
    assert len({clip.group for clip in find_clips((tmp_path / "m.csv").as_uri())}) == 10000


def test_a_group_has_one_name_in_every_part_of_a_manifest(tmp_path):
    """Non-regression test: it was called after its first clip, and tables of two parts were parted by folds."""
    names = ["o.mp4", "a.mp4", "b.mp4"]
    parts = ["o.mp4,REAL,\na.mp4,FAKE,o.mp4\n", "b.mp4,FAKE,o.mp4\n", "o.mp4,REAL,\n"]
    for part in parts:
        found = find_clips(made(tmp_path, names, m=f"filename,label,original\n{part}"))
        assert {clip.group for clip in found} == {"o.mp4"}


def test_a_linked_folder_renames_no_clip(tmp_path, caplog):
    """Non-regression test: `alias` was visited first, and what names `real/x.mp4` was said to be not there."""
    made(tmp_path, ["real/x.mp4", "real/deep/y.mp4"])
    os.symlink("real", tmp_path / "alias")
    os.symlink("..", tmp_path / "real" / "deep" / "back")
    (tmp_path / "metadata.json").write_text(json.dumps({"real/x.mp4": {"label": "REAL"}}))
    found = find_clips(str(tmp_path))
    assert [(clip.filename, clip.label) for clip in found] == [("real/deep/y.mp4", None), ("real/x.mp4", "REAL")]
    assert not caplog.text


def test_a_folder_that_is_only_linked_is_searched(tmp_path):
    made(tmp_path, ["elsewhere/x.mp4"])
    (tmp_path / "data").mkdir()
    os.symlink("../elsewhere", tmp_path / "data" / "linked")
    assert [clip.filename for clip in find_clips(str(tmp_path / "data"))] == ["linked/x.mp4"]


def test_two_names_of_one_file_share_a_group(tmp_path, caplog):
    made(tmp_path, ["all/x.mp4", "all/z.mp4"])
    os.link(tmp_path / "all" / "x.mp4", tmp_path / "y.mp4")
    os.symlink("all/x.mp4", tmp_path / "link.mp4")
    groups = {clip.filename: clip.group for clip in find_clips(str(tmp_path))}
    assert groups["all/x.mp4"] == groups["y.mp4"] == groups["link.mp4"] != groups["all/z.mp4"]
    assert "2 clips are second names of other clips' files" in caplog.text


def test_one_metadata_file_may_name_the_clips_of_all_parts(tmp_path, caplog):
    made(tmp_path, ["part_0/a.mp4", "part_1/b.mp4", "part_0/c.mp4", "part_1/c.mp4"])
    entries = {"a.mp4": {"label": "REAL"}, "b": {"label": "FAKE", "original": ["a.mp4"]}, "c.mp4": {"label": "REAL"}}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    clips = {clip.filename: clip for clip in find_clips(str(tmp_path))}
    assert [clips[name].label for name in sorted(clips)] == ["REAL", None, "FAKE", None]
    assert clips["part_0/a.mp4"].group == clips["part_1/b.mp4"].group
    assert "metadata names 1 missing clips" in caplog.text, "which c.mp4, it does not say"

    assert "metadata names 2 clips that lie elsewhere below it (a.mp4 is part_0/a.mp4, ...)" in caplog.text


@pytest.mark.parametrize(
    ("present", "entries"),
    [(["000.mp4", "other/001.mp4"], ["000.mp4", "001.mp4"]), (["other/001.avi"], ["000.mp4", "001.mp4"])],
    ids=["others_are_at_their_path", "another_suffix"],
)
def test_metadata_labels_no_clip_of_another_set_that_lies_below(tmp_path, present, entries, caplog):
    """Non-regression test: of a table whose clip was not there, another set's clip of that name had the label."""
    made(tmp_path, present)
    (tmp_path / "metadata.json").write_text(json.dumps({name: {"label": "FAKE"} for name in entries}))
    labels = {clip.filename: clip.label for clip in find_clips(str(tmp_path))}
    assert labels[present[-1]] is None
    assert "metadata names" in caplog.text
    assert "lie elsewhere" not in caplog.text
    assert ("(001.mp4, but other/001.mp4, ...); these get no label" in caplog.text) == (len(present) > 1)


def test_a_table_in_every_folder_costs_no_more_for_each(counted_calls):
    """Non-regression test: each looked through the clips of all folders, whose names are the same."""

    class Tables(Store):
        def read(self, name, n_bytes=-1):
            return b'{"video.mp4": {"label": "FAKE"}}'

    def calls(n):
        clips = [ClipEntry(f"c{number:05}/raw/video.mp4", "") for number in range(n)]
        names = [f"c{number:05}/metadata.json" for number in range(n)] + [clip.filename for clip in clips]
        found, count = counted_calls(lambda: with_metadata(Tables("memory://x"), names, clips))
        assert {clip.label for clip in found} == {"FAKE"}
        return count

    assert calls(800) < 5 * calls(200)


def test_a_path_of_metadata_means_no_file_of_another_folder(tmp_path):
    made(tmp_path, ["part_1/a.mp4"])
    (tmp_path / "metadata.json").write_text(json.dumps({"part_0/a.mp4": {"label": "FAKE"}}))
    assert find_clips(str(tmp_path))[0].label is None


def test_metadata_that_contradicts_itself_is_refused(tmp_path):
    """Non-regression test: the later file won, and the original was lost."""
    made(tmp_path, ["a.mp4", "p/a.mp4"])
    (tmp_path / "metadata.json").write_text(json.dumps({"p/a.mp4": {"label": "FAKE", "original": "a.mp4"}}))
    (tmp_path / "p" / "metadata.json").write_text(json.dumps({"a.mp4": {"label": "REAL"}}))
    with pytest.raises(DatasetError, match=r"p/metadata\.json, entry .*: p/a\.mp4 is REAL, and FAKE by .*fix one"):
        find_clips(str(tmp_path))
    (tmp_path / "p" / "metadata.json").write_text(json.dumps({"a.mp4": {"label": "FAKE", "method": "swap"}}))
    fake = find_clips(str(tmp_path))[1]
    assert (fake.original, fake.method, fake.group) == ("a.mp4", "swap", "a.mp4")


def test_keys_of_metadata_may_have_capitals_and_without_labels_it_says_so(tmp_path, caplog):
    made(tmp_path, ["a.mp4", "b.mp4"])
    entries = {"a.mp4": {"Label": "REAL"}, "b.mp4": {" LABEL": "FAKE", "Original": "a.mp4"}}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    assert [(clip.label, clip.group) for clip in find_clips(str(tmp_path))] == [("REAL", "a.mp4"), ("FAKE", "a.mp4")]
    assert not caplog.text
    (tmp_path / "metadata.json").write_text(json.dumps({"a.mp4": {"class": "REAL"}}))
    find_clips(str(tmp_path))
    assert "no entry of metadata.json has a label" in caplog.text


def test_a_manifest_in_the_root_folder_is_read_there():
    """Non-regression test: it was read from the current folder."""
    assert folder_and_name("/labels.csv") == ("/", "labels.csv")
    assert Store("file://").join("labels.csv") == "file:///labels.csv"


def test_endings_that_ffmpeg_reads_are_those_of_clips(tmp_path):
    names = ["a.m2t", "b.MOD", "c.dv", "d.qt", "e.f4v", "f.m2v", "g.rmvb", "h.264", "i.h265", "j.3gpp", "k.insv"]
    made(tmp_path, names)
    assert [clip.filename for clip in find_clips(str(tmp_path))] == names


def test_files_that_are_passed_over_are_counted(tmp_path, caplog):
    made(tmp_path, ["a.mp4", "a.wav", "a.json", "b.txt", "README.md", "LICENSE", ".DS_Store"])
    find_clips(str(tmp_path))
    assert not caplog.text
    made(tmp_path, ["b.xyz", "c.XYZ", "d"])
    assert [clip.filename for clip in find_clips(str(tmp_path))] == ["a.mp4"]
    assert "3 files are skipped, since clips have other endings (.xyz: 2, no ending: 1)" in caplog.text
    caplog.clear()
    wanted = [clip.filename for clip in find_clips(str(tmp_path), wanted=["b.xyz", "c.XYZ", "d", "gone.mp4"])]
    assert wanted == ["a.mp4", "b.xyz", "c.XYZ", "d"]
    assert not caplog.text


def test_a_url_in_a_manifest_is_refused(tmp_path):
    """Non-regression test: its row was called `s3:/bucket/a.mp4`, and crashed for ever."""
    with pytest.raises(DatasetError, match=r"line 2: filename 's3://bucket/a\.mp4' is a URL; put the manifest beside"):
        find_clips(made(tmp_path, [], m="filename\ns3://bucket/a.mp4\n"))


def test_an_absolute_path_below_the_manifest_is_a_relative_one(tmp_path):
    (clip,) = find_clips(made(tmp_path, ["p/a.mp4"], m=f"filename\n{tmp_path}/p/./a.mp4\n"))
    assert (clip.filename, clip.path) == ("p/a.mp4", str(tmp_path / "p" / "a.mp4"))
    for outside in (f"{tmp_path}x/a.mp4", f"{tmp_path}/../a.mp4", str(tmp_path)):
        with pytest.raises(DatasetError, match="not a path below the manifest's folder"):
            find_clips(made(tmp_path, [], m=f"filename\n{outside}\n"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("clips.zip", b"PK\x03\x04\x14\x00\xff", "a packed file, not a CSV manifest; unpack it and give the folder"),
        ("clips.tgz", b"\x1f\x8b\x08\x00", "a packed file"),
        ("clips.tar", bytes(257) + b"ustar\x0000", "a packed file"),
        ("labels.xlsx", b"PK\x03\x04\x14\x00\xff", "a spreadsheet, not a CSV manifest; save it as CSV"),
        ("features.parquet", b"PAR1\x15\x04", "a Parquet table, not a CSV manifest; .*deepcue train"),
    ],
)
def test_what_is_no_manifest_is_called_what_it_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        find_clips(str(tmp_path / name))


def test_clips_in_an_archive_are_found_by_a_chain_of_urls(tmp_path, monkeypatch):
    """Non-regression test: names were put behind the archive's."""
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        archive.writestr("p/a.mp4", b"clip")
        archive.writestr("m.csv", "filename,label\np/a.mp4,REAL\n")
    monkeypatch.chdir(tmp_path)
    for data in ("zip://::clips.zip", "zip://m.csv::clips.zip", f"zip://::{(tmp_path / 'clips.zip').as_uri()}"):
        (clip,) = find_clips(data)
        assert clip.filename == "p/a.mp4"
        with monkeypatch.context() as elsewhere:  # measuring processes are in another folder
            elsewhere.chdir("/")
            assert source_of(clip.path, {}) == b"clip"
    assert find_clips("zip://p/a.mp4::clips.zip")[0].filename == "a.mp4"


def test_a_manifest_is_read_as_spreadsheets_write_it(tmp_path):
    (tmp_path / "m.csv").write_text("\n;;\nFilename;label;group\n\na.mp4;REAL;g\nb.mp4;FAKE\n;;\n")
    clips = find_clips(str(tmp_path / "m.csv"))
    assert [(clip.filename, clip.label, clip.group) for clip in clips] == [
        ("a.mp4", "REAL", "g"),
        ("b.mp4", "FAKE", "b.mp4"),
    ]


def test_the_line_of_an_error_is_that_of_the_file(tmp_path):
    with pytest.raises(DatasetError, match="line 5: label 'perhaps'"):
        find_clips(made(tmp_path, [], m="\nfilename,label\n\na.mp4,REAL\nb.mp4,perhaps\n"))


def test_a_folder_may_be_called_like_a_chain_of_urls(tmp_path):
    """Non-regression test: its tables were looked for elsewhere."""
    made(tmp_path, ["exp::1/a.mp4"])
    (tmp_path / "exp::1" / "metadata.json").write_text('{"a.mp4": {"label": "REAL"}}')
    assert find_clips(str(tmp_path / "exp::1"))[0].label == "REAL"

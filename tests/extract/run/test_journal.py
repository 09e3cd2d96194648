import errno
import io
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from extract.run import journal
from extract.run.journal import Journal
from extract.run.worker import Result
from features.errors import DatasetError, InputError
from features.reasons import Reason

IDENTITY = {"families": {"blink": 1}}


def result(name, status="ok"):
    return Result(name, status, "", np.array([1.5, np.nan], np.float32), duration_s=1.0, n_frames=2, n_faces=1)


def written(file, *results):
    journal = Journal(file, IDENTITY)
    for one in results:
        journal.add(one, "print")
    journal.close()


def opened(file, identity=IDENTITY, **options):
    journal = Journal(file, identity, **options)
    journal.close()
    return journal


def test_what_was_added_is_known_to_the_next_run(tmp_path):
    written(tmp_path / "j", result("a"), result("b"))
    again = opened(tmp_path / "j")
    assert again.get("a", "print").values.tobytes() == result("a").values.tobytes()
    assert again.get("a", "another file") is None
    assert again.get("c", "print") is None


def test_reasons_that_begin_with_the_family_identity_are_no_header(tmp_path):
    file = tmp_path / "j"
    unmeasured = replace(result("a"), reasons={"identity": Reason.TOO_SHORT})
    written(file, unmeasured, result("b"))
    assert journal.IDENTITY in file.read_bytes().splitlines()[1]
    for _ in range(2):  # read as written, and as copied by the first run
        again = opened(file)
        assert again.get("a", "print").reasons == {"identity": Reason.TOO_SHORT}
        assert again.get("b", "print") is not None


@pytest.mark.parametrize("lost", [1, 7, 60])
def test_a_torn_line_is_dropped_and_the_rest_kept(tmp_path, lost):
    file = tmp_path / "j"
    written(file, result("a"), result("b"))
    file.write_bytes(file.read_bytes()[:-lost])
    journal = Journal(file, IDENTITY)
    assert journal.get("a", "print") is not None
    assert journal.get("b", "print") is None
    journal.add(result("c"), "print")
    journal.close()
    assert opened(file).get("c", "print") is not None


@pytest.mark.parametrize("status", ["crashed", "timeout"])
def test_a_failure_of_the_machine_is_tried_again(tmp_path, status):
    written(tmp_path / "j", result("a", status))
    assert opened(tmp_path / "j").get("a", "print") is None


def test_a_family_that_failed_is_tried_again(tmp_path):
    """What it lacked, as a folder that can be written to, may be there by then."""
    written(tmp_path / "j", replace(result("a", "partial"), reasons={"voice": "failed"}))
    assert opened(tmp_path / "j").get("a", "print") is None
    written(tmp_path / "j", replace(result("a", "partial"), reasons={"voice": "no_sound"}))
    assert opened(tmp_path / "j").get("a", "print") is not None


@pytest.mark.parametrize("torn", [b"", b"0123 torn"], ids=["whole", "torn"])
def test_journals_of_several_machines_are_one_after_the_other(tmp_path, torn):
    """Non-regression test: a header in the middle ended in a KeyError."""
    written(tmp_path / "j1", result("a"), result("b", "timeout"), result("c"))
    written(tmp_path / "j2", result("b"), result("c"), result("d"))
    one, two = (tmp_path / name for name in ("j1", "j2"))
    (tmp_path / "j").write_bytes(one.read_bytes() + torn + two.read_bytes())
    for _ in range(2):  # it is written again as one
        both = opened(tmp_path / "j")
        assert all(both.get(name, "print") is not None for name in "abcd")
    assert (tmp_path / "j").read_bytes().count(b"identity") == 1


@pytest.mark.parametrize("torn", [b"", b"0123 torn"], ids=["whole", "torn"])
def test_what_stands_below_the_header_of_another_identity_is_not_taken(tmp_path, torn):
    other = {"families": {"blink": 2}}
    written(tmp_path / "j1", result("a"))
    written(tmp_path / "j2", result("b"))
    header = opened(tmp_path / "j3", other).file.read_bytes()
    _, line = (tmp_path / "j2").read_bytes().splitlines(keepends=True)
    for name in ("j", "copy"):
        (tmp_path / name).write_bytes((tmp_path / "j1").read_bytes() + torn + header + line)
    mine = opened(tmp_path / "j")
    assert mine.get("a", "print") is not None
    assert mine.get("b", "print") is None
    theirs = opened(tmp_path / "copy", other)
    assert theirs.get("a", "print") is None
    assert theirs.get("b", "print") is not None


def test_runs_of_several_identities_find_theirs_in_one_file(tmp_path):
    """Non-regression test: what stood below the second header was lost to the first run, without a word."""
    other = {"families": {"blink": 2}}
    header = opened(tmp_path / "other", other).file.read_bytes()
    lines = {}
    for name in "abcd":
        written(tmp_path / name, result(name))
        lines[name] = (tmp_path / name).read_bytes().splitlines(keepends=True)
    mine = lines["a"][0]
    (tmp_path / "j").write_bytes(
        b"".join([mine, lines["a"][1], header, lines["b"][1], mine, lines["c"][1], header, lines["d"][1]])
    )
    for identity, there in [(IDENTITY, "ac"), (other, "bd"), (IDENTITY, "ac"), (other, "bd")]:
        found = opened(tmp_path / "j", identity)
        assert {name for name in "abcd" if found.get(name, "print")} == set(there)


@pytest.mark.parametrize("then", [(), ({"families": {"blink": 2}},)], ids=["at_once", "after_another"])
def test_what_was_kept_aside_and_what_is_put_below_are_both_found(tmp_path, then):
    """Non-regression test: what was aside was not read, or was written over, once the file had lines of its own."""
    written(tmp_path / "j", result("a"))
    opened(tmp_path / "j", {"families": {"blink": 2}})
    written(tmp_path / "c", result("c"))
    with (tmp_path / "j").open("ab") as file:
        file.write((tmp_path / "c").read_bytes())
    for other in then:
        opened(tmp_path / "j", other)
    found = opened(tmp_path / "j")
    assert found.get("a", "print") is not None
    assert found.get("c", "print") is not None


def test_of_two_results_of_a_clip_the_one_in_the_file_itself_counts(tmp_path):
    """The other was set aside earlier."""
    written(tmp_path / "j", result("a", "no_face"))
    opened(tmp_path / "j", {"families": {"blink": 2}})
    written(tmp_path / "later", result("a"))
    with (tmp_path / "j").open("ab") as file:
        file.write((tmp_path / "later").read_bytes())
    assert opened(tmp_path / "j").get("a", "print").status == "ok"
    assert not list(tmp_path.glob("*.part*"))


def test_another_identity_or_a_fresh_start_forgets(tmp_path):
    written(tmp_path / "j", result("a"))
    assert opened(tmp_path / "j", {"families": {"blink": 2}}).get("a", "print") is None
    written(tmp_path / "j", result("a"))
    assert opened(tmp_path / "j", fresh=True).get("a", "print") is None


def test_a_full_disk_is_a_sentence(tmp_path):
    journal = Journal(tmp_path / "j", IDENTITY)
    journal._stream.close()
    journal._stream = open("/dev/full", "wb")  # noqa: SIM115
    with pytest.raises(DatasetError, match=r"No space left on device.*earlier results are kept"):
        journal.add(result("a"), "print")
    journal.close()


def test_an_unwritable_place_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        Journal(tmp_path, IDENTITY)
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="can't be written"):
        Journal(tmp_path / "file" / "j", IDENTITY)


def test_two_runs_do_not_share_a_journal(tmp_path):
    """Non-regression test: the second run replaced the file that the first one wrote to."""
    first = Journal(tmp_path / "j", IDENTITY)
    first.add(result("a"), "print")
    for options in ({}, {"fresh": True}):
        with pytest.raises(DatasetError, match="another run uses this journal; wait for it"):
            Journal(tmp_path / "j", IDENTITY, **options)
    first.add(result("b"), "print")
    first.close()
    again = opened(tmp_path / "j")
    assert again.get("a", "print") is not None
    assert again.get("b", "print") is not None
    assert [file.name for file in tmp_path.iterdir()] == ["j"]


def test_a_journal_that_can_not_be_locked_is_used_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(journal.fcntl, "flock", refuse)
    written(tmp_path / "j", result("a"))
    assert opened(tmp_path / "j").get("a", "print") is not None


def test_what_another_identity_noted_is_taken_up_again(tmp_path, caplog):
    """Non-regression test: an extraction with one family less cost the results of hours."""
    other = {"families": {"blink": 2}}
    written(tmp_path / "j", result("a"))
    second = Journal(tmp_path / "j", other)
    assert "its results are kept in" in caplog.text
    assert second.get("a", "print") is None
    second.add(result("b"), "print")
    second.close()
    third = opened(tmp_path / "j")
    assert third.get("a", "print") is not None
    assert third.get("b", "print") is None
    assert opened(tmp_path / "j", other).get("b", "print") is not None


def test_a_fresh_run_forgets_its_own_and_keeps_that_of_another_identity(tmp_path):
    other = {"families": {"blink": 2}}
    written(tmp_path / "j", result("a"))
    opened(tmp_path / "j", other)
    Journal(tmp_path / "j", other, fresh=True).close()
    assert opened(tmp_path / "j").get("a", "print") is not None
    opened(tmp_path / "j", other)
    Journal(tmp_path / "j", IDENTITY, fresh=True).close()
    assert opened(tmp_path / "j").get("a", "print") is None


@pytest.mark.parametrize("content", [b"filename,label\na.mp4,REAL\n", b"PAR1\0\0", b"0000 {}\n", b"\n"])
@pytest.mark.parametrize("fresh", [False, True])
def test_another_file_is_not_overwritten(tmp_path, content, fresh):
    """Non-regression test: `--journal train.csv` cost the manifest."""
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(DatasetError, match="is not a journal of finished clips"):
        Journal(tmp_path / "j", IDENTITY, fresh=fresh)
    assert (tmp_path / "j").read_bytes() == content


@pytest.mark.parametrize("identity", [IDENTITY, {"families": {"blink": 2}}], ids=["resumed", "set_aside"])
def test_a_journal_of_a_million_clips_need_not_fit_into_memory(tmp_path, identity):
    """Non-regression test: the file was read whole, split, and joined again: five times its 4 GB."""
    values = np.zeros(640, np.float32)
    written(tmp_path / "j", *(replace(result(f"{number}", "timeout"), values=values) for number in range(2_000)))
    size = (tmp_path / "j").stat().st_size
    tracemalloc.start()
    opened(tmp_path / "j", identity)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 5


def test_headers_are_searched_in_no_line_of_a_result(tmp_path, monkeypatch):
    """Non-regression test: the pattern took most of the time in which a journal was read."""
    searched = []

    class Counting:
        def search(self, line):
            searched.append(line)
            return HEADER.search(line)

    written(tmp_path / "j", *(result(f"{number}") for number in range(50)))
    HEADER = journal.HEADER
    monkeypatch.setattr(journal, "HEADER", Counting())
    assert opened(tmp_path / "j").get("49", "print") is not None
    assert {line.count(b"identity") for line in searched} == {1}


def test_a_disk_that_fills_while_a_journal_is_rewritten_keeps_it_and_no_part_of_it(tmp_path, monkeypatch):
    written(tmp_path / "j", result("a"))
    before = (tmp_path / "j").read_bytes()

    class Full(io.BufferedWriter):
        def writelines(self, lines):
            raise OSError(errno.ENOSPC, "No space left on device")

    usual = journal.Path.open
    monkeypatch.setattr(
        journal.Path, "open", lambda path, mode="r": Full(io.FileIO(path, "w")) if mode == "wb" else usual(path, mode)
    )
    with pytest.raises(DatasetError, match=r"j: can't be written .*No space left"):
        Journal(tmp_path / "j", IDENTITY)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"j": before}

"""The list: what a second window sees, ranges of a video, exports, deletion, restarts, a full disk."""

import csv
import errno
import io
import json
import logging
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from events import wait_until
from page_server import NOTHING, Examiner, Player, Running, running

from extract.entries import ClipEntry
from extract.run.sandbox import Limits
from extract.run.worker import Result, Settings
from features.errors import InputError
from serve import measuring
from serve.clips import DONE, MAX_ATTEMPTS, MEASURING, QUEUED, ClipList
from serve.folder import PREVIEW, FullError, WorkFolder


def changes(one, since, boot):
    return json.loads(one.ask("GET", f"/api/clips?since={since}&boot={boot}")[2])


def test_a_window_hears_what_changed_since_it_last_asked(server):
    first = changes(server, 0, "")
    assert first["all"]
    _, told = server.upload(b"fine 0.25", "a.mp4")
    server.settled(1)
    second = changes(server, first["version"], first["boot"])
    assert not second["all"]
    assert [(row["name"], row["probability"], row["state"]) for row in second["rows"]] == [("a.mp4", 0.25, DONE)]
    assert changes(server, second["version"], second["boot"])["rows"] == []
    server.ask("DELETE", f"/api/clips/{told['id']}")
    third = changes(server, second["version"], second["boot"])
    assert third["deleted"] == [told["id"]]
    assert third["rows"] == []
    assert changes(server, third["version"], "another")["all"]


@pytest.mark.parametrize("since", ["-1", "x", "", "9" * 5000, "%D9%A3"])
def test_a_number_that_is_none_is_taken_for_the_start(server, since):
    server.upload(b"fine 0.5")
    server.settled(1)
    boot = server.server.parts.clips.boot
    assert len(changes(server, since, boot)["rows"]) == 1


def test_progress_is_seen_while_a_clip_is_measured(server):
    server.upload(b"wait")
    server.upload(b"fine 0.5")
    wait_until(lambda: any(row["progress"] and row["progress"]["share"] == 0.5 for row in server.rows()))
    waiting, measured = server.rows()
    assert (waiting["state"], waiting["progress"]) == (QUEUED, None)
    assert measured["state"] == MEASURING
    assert measured["progress"]["stage"] == "following faces"
    assert measured["progress"]["left_s"] >= 0


def test_the_verdict_is_told_before_the_evidence_is_collected(server):
    server.upload(b"early 0.75")
    wait_until(lambda: server.rows()[0]["probability"] == 0.75)
    (row,) = server.rows()
    assert (row["state"], row["verdict"], row["progress"]["share"]) == (MEASURING, "uncertain", 0.75)


def test_a_clip_that_is_being_measured_can_be_deleted_and_the_next_goes_on(server):
    _, told = server.upload(b"wait")
    server.upload(b"fine 0.5", "next.mp4")
    wait_until(lambda: server.rows()[-1]["state"] == MEASURING)
    assert server.ask("DELETE", f"/api/clips/{told['id']}")[0] == 204
    (row,) = server.settled(1)
    assert row["name"] == "next.mp4"
    wait_until(lambda: not server.server.parts.work.of(told["id"]).exists())


def test_that_a_clip_was_deleted_while_it_was_measured_is_no_warning(server, monkeypatch, caplog):
    """Non-regression test: its file was missed, and so was it by whoever reads the log."""
    measure = Examiner.measure

    def measured(self, filename, path):
        result, evidence = measure(self, filename, path)
        if result.status == "crashed":  # it was stopped, for it is deleted
            wait_until(lambda: not os.path.exists(path))
        return result, evidence

    monkeypatch.setattr(Examiner, "measure", measured)
    _, told = server.upload(b"wait")
    wait_until(lambda: server.rows()[0]["state"] == MEASURING)
    assert server.ask("DELETE", f"/api/clips/{told['id']}")[0] == 204
    server.upload(b"fine 0.5", "next.mp4")
    server.settled(1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_video_is_given_in_ranges(server):
    content = b"fine 0.5 " + bytes(range(256)) * 40
    _, told = server.upload(content)
    server.settled(1)
    where = f"/clips/{told['id']}/video"
    status, headers, body = server.ask("GET", where)
    assert (status, body, headers["Content-Type"], headers["Accept-Ranges"]) == (200, content, "video/mp4", "bytes")
    status, headers, body = server.ask("GET", where, Range="bytes=100-199")
    assert (status, body) == (206, content[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(content)}"
    assert server.ask("GET", where, Range="bytes=-5")[2] == content[-5:]
    assert server.ask("GET", where, Range=f"bytes={len(content)}-")[0] == 416


def test_a_clip_that_does_not_play_has_no_video(server):
    _, told = server.upload(b"broken")
    (row,) = server.settled(1)
    assert (row["status"], row["said"], row["probability"]) == ("unreadable", "could not be read", None)
    assert server.ask("GET", f"/clips/{told['id']}/video")[0] == 404
    assert server.ask("GET", f"/clips/{told['id']}")[2] == b"<p>page of 1</p>"


@pytest.mark.parametrize(
    ("content", "at_bound", "score"),
    [(b"fine 0.97", True, "0.97 or more"), (b"fine 0.03", True, "0.03 or less"), (b"fine 0.96", False, "0.96")],
)
def test_a_number_at_the_bound_of_the_model_is_called_so(server, content, at_bound, score):
    """Non-regression: the list and the exports said 0.97 where the page says "0.97 or more"."""
    _, told = server.upload(content)
    server.settled(1)
    rows = json.loads(server.ask("GET", "/api/clips")[2])["rows"]
    one = json.loads(server.ask("GET", f"/api/clips/{told['id']}")[2])
    assert [(row["score"], row["at_bound"]) for row in [*rows, one]] == [(score, at_bound)] * 2
    assert json.loads(server.ask("GET", "/clips.json")[2])["clips"][0]["at_bound"] is at_bound
    (line,) = csv.DictReader(io.StringIO(server.ask("GET", "/clips.csv")[2].decode()))
    assert line["at_bound"] == str(at_bound)


def test_a_clip_that_is_measured_again_is_at_no_bound_meanwhile(tmp_path):
    clips = ClipList(tmp_path / "list")
    clips.add("a" * 32, "a", size=1)
    clips.finish("a" * 32, {"probability": 0.97, "at_bound": True})
    assert clips.row("a" * 32)["at_bound"] is True
    clips.again("a" * 32)
    assert clips.row("a" * 32)["at_bound"] is False


def test_exports_hold_every_judged_clip_the_most_probably_fake_first_and_no_formulas(server):
    for content, name in ((b"fine 0.25", "a,b.mp4"), (b"fine 0.75", "=1+1.mp4"), (b"broken", '"c".mp4')):
        server.upload(content, name)
    server.settled(3)
    rows = list(csv.DictReader(io.StringIO(server.ask("GET", "/clips.csv")[2].decode())))
    assert [(row["name"], row["probability"]) for row in rows] == [
        ("'=1+1.mp4", "0.75"),
        ("a,b.mp4", "0.25"),
        ('"c".mp4', ""),
    ]
    clips = json.loads(server.ask("GET", "/clips.json")[2])["clips"]
    assert [clip["name"] for clip in clips] == ["=1+1.mp4", "a,b.mp4", '"c".mp4']
    assert clips[2]["error"] == "no video or audio that FFmpeg can open"


def test_a_restart_finishes_what_was_queued_and_keeps_what_was_done(tmp_path):
    with running(tmp_path) as one:
        one.upload(b"fine 0.5", "done.mp4")
        one.settled(1)
        _, held = one.upload(b"wait", "measuring.mp4")
        one.upload(b"fine 0.75", "queued.mp4")
        wait_until(lambda: one.rows()[1]["state"] == MEASURING)
        held_file = one.server.parts.work.clip(held["id"])
    held_file.write_bytes(b"fine 0.25")
    with running(tmp_path) as one:
        rows = one.settled(3)
        assert [(row["name"], row["probability"]) for row in rows] == [
            ("queued.mp4", 0.75),
            ("measuring.mp4", 0.25),
            ("done.mp4", 0.5),
        ]


def test_a_restart_clears_halves_of_uploads_and_folders_without_a_clip(tmp_path):
    with running(tmp_path) as one:
        one.upload(b"fine 0.5")
        one.settled(1)
    (tmp_path / "incoming" / "x.part").write_bytes(b"half")
    (tmp_path / "clips" / ("0" * 32)).mkdir()
    with running(tmp_path) as one:
        assert list((tmp_path / "incoming").iterdir()) == []
        assert [path.name for path in (tmp_path / "clips").iterdir()] == [one.rows()[0]["id"]]
        assert one.server.parts.work.used > 0


def test_a_clip_that_saw_the_death_of_too_many_servers_is_not_tried_again(tmp_path):
    for number in range(2 * MAX_ATTEMPTS):
        clips = ClipList(tmp_path / "list")
        if not number:
            clips.add("a" * 32, "a", size=1)
        assert clips.take(0)["state"] == MEASURING
        if number < MAX_ATTEMPTS:
            clips.close()  # as a server that is stopped; later ones are killed
    clips = ClipList(tmp_path / "list")
    assert clips.take(0) is None
    assert clips.rows()[0]["status"] == "crashed"
    clips.again("a" * 32)
    assert clips.take(0)["state"] == MEASURING


def test_a_clip_whose_preview_is_being_made_can_not_be_tried_again(tmp_path):
    """Non-regression test: what the preview's thread noted at its end took the clip's verdict away."""
    clips = ClipList(tmp_path / "list")
    clips.add("a" * 32, "a", size=1)
    clips.take(0)
    clips.finish("a" * 32, {"status": "ok", "verdict": "fake", "player": "wanted"})
    clips.let_go("a" * 32)
    assert clips.take(0)["player"] == "wanted"
    with pytest.raises(KeyError):
        clips.again("a" * 32)
    clips.finish("a" * 32, {"player": "none"})
    clips.let_go("a" * 32)
    clips.again("a" * 32)
    assert clips.take(0)["state"] == MEASURING


def test_a_failed_clip_can_be_tried_again_and_one_that_is_queued_can_not(server):
    _, told = server.upload(b"broken")
    server.settled(1)
    server.server.parts.work.clip(told["id"]).write_bytes(b"fine 0.5")
    assert server.ask("POST", f"/api/clips/{told['id']}/again")[0] == 204
    (row,) = server.settled(1)
    assert (row["status"], row["probability"]) == ("ok", 0.5)
    assert server.ask("POST", f"/api/clips/{'0' * 32}/again")[0] == 404


@pytest.mark.parametrize("address", [f"/clips/{'0' * 32}", "/no/such/page"])
def test_an_address_that_leads_nowhere_shows_the_way_back(server, address):
    status, headers, content = server.ask("GET", address)
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b'<a href="/">' in content


def test_of_a_clip_that_is_tried_again_nothing_is_shown_of_the_first_try(server):
    """Non-regression test: the old report was still served."""
    _, told = server.upload(b"fine 0.5")
    server.settled(1)
    clips = server.server.parts.clips
    clips.finish(told["id"], {"duration_s": 9.0, "n_faces": 2, "took_s": 3.0, "player": "none"})
    assert server.ask("GET", f"/clips/{told['id']}/report")[0] == 200
    server.server.parts.work.clip(told["id"]).write_bytes(b"wait")
    assert server.ask("POST", f"/api/clips/{told['id']}/again")[0] == 204
    wait_until(lambda: server.row(told["id"])["state"] == MEASURING)
    assert server.ask("GET", f"/clips/{told['id']}/report")[0] == 404
    row = clips.row(told["id"])
    assert [row[name] for name in ("probability", "duration_s", "n_faces", "took_s")] == [None] * 4


def test_a_fault_while_judging_costs_its_clip_only(server, caplog):
    server.upload(b"fine not_a_number", "odd.mp4")
    server.upload(b"fine 0.5", "next.mp4")
    after, odd = server.settled(2)
    assert (odd["status"], after["probability"]) == ("crashed", 0.5)
    assert "ValueError" in odd["error"]
    page = server.ask("GET", f"/clips/{odd['id']}")[2].decode()
    assert "Not measured" in page
    assert "ValueError" in page


def test_a_verdict_is_kept_when_the_disk_is_full_for_its_page(server):
    _, told = server.upload(b"pageless 0.75")
    (row,) = server.settled(1)
    assert (row["probability"], row["verdict"], row["status"], row["has_page"]) == (0.75, "uncertain", "partial", 0)
    assert "No space left" in row["error"]
    page = server.ask("GET", f"/clips/{told['id']}")[2].decode()
    assert "P(FAKE) = 0.75" in page
    assert server.ask("GET", f"/clips/{told['id']}/report")[0] == 404


def test_a_result_is_written_when_there_is_room_again(server, monkeypatch):
    monkeypatch.setattr(measuring, "RETRY_S", 0.01)
    clips, tries = server.server.parts.clips, []
    finish = clips.finish

    def full_at_first(clip_id, found):
        tries.append(clip_id)
        if len(tries) < 4:
            raise sqlite3.OperationalError("database or disk is full")
        finish(clip_id, found)

    monkeypatch.setattr(clips, "finish", full_at_first)
    server.upload(b"fine 0.5")
    (row,) = server.settled(1)
    assert row["probability"] == 0.5
    assert len(tries) >= 4


def test_an_upload_that_the_list_can_not_take_leaves_nothing(server, monkeypatch):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(server.server.parts.clips, "add", full)
    status, told = server.upload(b"fine 0.5")
    assert status == 507
    assert "make room" in told["error"]
    assert list((server.server.parts.work.root / "clips").iterdir()) == []


def test_files_of_this_machine_are_queued_once_and_their_deletion_costs_no_original(tmp_path):
    one = Running(tmp_path / "work")
    try:
        files = [tmp_path / name for name in ("a.mp4", "b.mp4")]
        for file in files:
            file.write_bytes(b"fine 0.5")
        given = [ClipEntry(file.name, str(file)) for file in files]
        assert one.server.queue(given) == 2
        assert one.server.queue(given) == 0
        rows = one.settled(2)
        assert {row["name"] for row in rows} == {"a.mp4", "b.mp4"}
        for row in rows:
            one.ask("DELETE", f"/api/clips/{row['id']}")
        assert all(file.read_bytes() == b"fine 0.5" for file in files)
        with pytest.raises(InputError, match="can't be queued"):
            one.server.queue([ClipEntry("c", str(tmp_path / "c.mp4"))])
    finally:
        one.stop()


def test_a_clip_that_can_not_be_read_does_not_keep_the_others_out(server, tmp_path, caplog):
    """Non-regression test: a dangling link in a folder ended the start of the server."""
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "z.mp4").write_bytes(b"fine 0.5")
    given = [ClipEntry(name, str(tmp_path / name)) for name in ("gone.mp4", "z.mp4")]
    assert server.server.queue(given) == 1
    assert "gone.mp4: can't be queued" in caplog.text
    assert [row["name"] for row in server.settled(1)] == ["z.mp4"]


def test_a_clip_for_which_there_is_no_room_does_not_keep_the_others_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EXDEV, "another file system")))
    for name, content in (("large.mp4", b"fine 0.5".ljust(99)), ("small.mp4", b"fine 0.5")):
        (tmp_path / name).write_bytes(content)
    with running(tmp_path / "work", max_disk=50) as one:
        assert one.server.queue([ClipEntry(name, str(tmp_path / name)) for name in ("large.mp4", "small.mp4")]) == 1
    assert "large.mp4: can't be queued (no room" in caplog.text


def test_what_is_no_file_is_left_out_and_never_read(server, tmp_path, caplog):
    """Non-regression test: a device was copied without end, and the queue waited at a named pipe."""
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "z.mp4").write_bytes(b"fine 0.5")
    given = [ClipEntry(name, str(tmp_path / name)) for name in ("zero.mp4", "pipe.mp4", "z.mp4")]
    assert server.server.queue(given) == 1
    for name in ("zero.mp4", "pipe.mp4"):
        assert f"{name}: can't be queued (not a regular file" in caplog.text
    assert [row["name"] for row in server.settled(1)] == ["z.mp4"]


def test_copies_keep_within_both_limits_also_of_a_file_that_grows(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EXDEV, "another file system")))
    for name, size in (("grown.mp4", 80), ("large.mp4", 30), ("small.mp4", 8)):
        (tmp_path / name).write_bytes(b"wait".ljust(size))  # its page would take room, too
    given = [ClipEntry(name, str(tmp_path / name)) for name in ("grown.mp4", "large.mp4", "small.mp4")]
    status = os.stat
    grown = str(tmp_path / "grown.mp4")
    monkeypatch.setattr(os, "stat", lambda path, **how: status(given[2].path if path == grown else path, **how))
    with running(tmp_path / "work", max_disk=50, max_upload=20) as one:
        assert one.server.queue(given) == 1
        assert one.server.parts.work.used == 8
        assert list((tmp_path / "work" / "incoming").iterdir()) == []
    for name in ("grown.mp4", "large.mp4"):
        assert f"{name}: can't be queued (larger than 0 kB" in caplog.text


def test_a_list_is_read_by_its_owner_alone(tmp_path):
    """Non-regression test: in a folder that was there, anybody on the machine could read it."""
    tmp_path.chmod(0o755)
    (tmp_path / "list").touch(0o644)  # of an earlier version
    clips = ClipList(tmp_path / "list")
    clips.add("a" * 32, "a.mp4", size=1)
    files = list(tmp_path.iterdir())
    assert {file.name for file in files} >= {"list", "list-wal"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    clips.close()


def test_one_server_at_a_time_works_in_a_folder(server):
    with pytest.raises(InputError, match="another server is using this folder"):
        WorkFolder(server.server.parts.work.root, max_bytes=1)


def test_a_list_that_is_none_is_refused(tmp_path):
    (tmp_path / "list").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="can't be used as the list of clips"):
        ClipList(tmp_path / "list")


def test_several_threads_never_take_the_same_clip(tmp_path):
    clips, taken = ClipList(tmp_path / "list"), []
    for number in range(40):
        clips.add(f"{number:032x}", "a", size=1)

    def take():
        while (row := clips.take(0)) is not None:
            taken.append(row["id"])
            clips.finish(row["id"], {"status": "ok"})
            clips.let_go(row["id"])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(taken) == [f"{number:032x}" for number in range(40)]


def test_a_player_is_prepared_once(tmp_path):
    clips = ClipList(tmp_path / "list")
    clips.add("a" * 32, "a", size=1)
    clips.finish("a" * 32, {"player": "wanted"})
    assert clips.take(0)["player"] == "wanted"
    assert clips.take(0) is None  # in a second thread
    clips.finish("a" * 32, {"player": "none"})
    clips.let_go("a" * 32)
    assert clips.take(0) is None


def test_the_work_folder_is_its_owners_alone(server):
    root = server.server.parts.work.root
    server.upload(b"fine 0.5")
    (row,) = server.settled(1)
    assert root.stat().st_mode & 0o077 == 0
    assert (server.server.parts.work.clip(row["id"])).stat().st_mode & 0o077 == 0


def test_a_clip_that_could_not_be_begun_is_taken_later(tmp_path):
    """Non-regression test: a disk that was full for a moment left the clip to nobody, until the server ended."""
    clips = ClipList(tmp_path / "list")
    clips.add("a" * 32, "a", size=1)
    with sqlite3.connect(tmp_path / "list") as other:
        other.execute("CREATE TRIGGER full BEFORE UPDATE ON clips BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    with pytest.raises(sqlite3.Error, match="disk is full"):
        clips.take(0)
    assert clips.rows()[0]["progress"] is None
    with sqlite3.connect(tmp_path / "list") as other:
        other.execute("DROP TRIGGER full")
    assert clips.take(0)["state"] == MEASURING


def test_a_player_that_can_not_be_started_costs_no_verdict_and_no_queue(server, monkeypatch):
    """Non-regression test: an error of the system there ended the thread, and nothing more was measured."""

    def refuse(*_):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    (thread,) = server.server.parts.measuring._threads
    with monkeypatch.context() as patched:
        patched.setattr(thread._player, "measure", refuse, raising=True)
        server.upload(b"fine 0.5", "a.mp4")
        server.settled(1)
    server.upload(b"fine 0.25", "b.mp4")
    after, before = server.settled(2)
    assert (before["probability"], before["player"]) == (0.5, "none")
    assert (after["probability"], after["player"]) == (0.25, "file")


@pytest.mark.parametrize("broken", ["_measured", "_playable"])
def test_no_fault_ends_the_queue(server, monkeypatch, broken):
    def fail(*_):
        raise ZeroDivisionError("division by zero")

    (thread,) = server.server.parts.measuring._threads
    with monkeypatch.context() as patched:
        patched.setattr(thread, broken, fail)
        server.upload(b"fine 0.5", "a.mp4")
        (row,) = server.settled(1)
    found = ("crashed", "ZeroDivisionError: division by zero") if broken == "_measured" else ("ok", "")
    assert (row["status"], row["error"], row["player"]) == (*found, "none")
    server.upload(b"fine 0.25", "b.mp4")
    assert server.settled(2)[0]["probability"] == 0.25


def test_a_fault_of_the_queue_itself_is_survived(server, monkeypatch, caplog):
    monkeypatch.setattr(measuring, "RETRY_S", 0.01)
    clips, faults = server.server.parts.clips, [ZeroDivisionError("division by zero")]
    take = clips.take
    monkeypatch.setattr(clips, "take", lambda timeout_s: _raised(faults.pop()) if faults else take(timeout_s))
    server.upload(b"fine 0.5", "a.mp4")
    server.upload(b"fine 0.25", "b.mp4")
    assert [row["probability"] for row in server.settled(2)] == [0.25, 0.5]
    assert "trying again" in caplog.text


def _raised(error):
    raise error


def test_a_result_is_noted_when_its_files_can_not_be_weighed(server, monkeypatch):
    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    server.upload(b"wait", "a.mp4")
    wait_until(lambda: server.rows()[0]["state"] == MEASURING)
    (thread,) = server.server.parts.measuring._threads
    monkeypatch.setattr(server.server.parts.work, "weigh", refuse)
    thread._examiner._closed.set()
    (row,) = server.settled(1)
    assert (row["status"], row["player"]) == ("crashed", "none")


def test_a_file_that_was_written_to_after_it_was_measured_is_not_played(tmp_path):
    """Non-regression test: a queued file is linked, and its new content was played under the old verdict."""
    file = tmp_path / "a.mp4"
    file.write_bytes(b"fine 0.5")
    with running(tmp_path / "work") as one:
        one.server.queue([ClipEntry("a.mp4", str(file))])
        (row,) = one.settled(1)
        assert one.row(row["id"])["player"] == "file"
        assert one.ask("GET", f"/clips/{row['id']}/video")[2] == b"fine 0.5"
        file.write_bytes(b"fine 0.25 another clip")  # in place
        assert one.row(row["id"])["player"] == "changed"
        assert one.ask("GET", f"/clips/{row['id']}/video")[0] == 404
        one.ask("POST", f"/api/clips/{row['id']}/again")
        (row,) = one.settled(1)
        assert (row["probability"], one.row(row["id"])["player"]) == (0.25, "file")


def test_no_preview_shows_a_file_that_changed_after_it_was_measured(tmp_path, monkeypatch):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"fine 0.5")
    measure = Player.measure

    def changed_before(player, *told):
        file.write_bytes(b"fine 0.25 another clip")
        return measure(player, *told)

    monkeypatch.setattr(Player, "measure", changed_before)
    with running(tmp_path / "work") as one:
        one.server.queue([ClipEntry("a.mp4", str(file))])
        assert [row["player"] for row in one.settled(1)] == ["changed"]


def test_pages_for_which_there_is_no_room_cost_the_page_and_no_verdict(tmp_path, monkeypatch):
    """Non-regression test: pages were written past --max-disk, and linked clips were said to take nothing."""
    (file := tmp_path / "a.mp4").write_bytes(b"early 0.5")
    with running(tmp_path / "work", max_disk=50) as one:
        (thread,), work = one.server.parts.measuring._threads, one.server.parts.work
        judge = thread._backend.judge

        def pages(row, *_):
            work.make_room(row["id"], {"report.html": 30, "page.html": 30})

        monkeypatch.setattr(judge, "pages", pages)
        monkeypatch.setattr(Examiner, "measure", _told_early)
        one.server.queue([ClipEntry("a.mp4", str(file))])
        (row,) = one.settled(1)
        assert (row["status"], row["probability"], row["has_page"], row["player"]) == ("partial", 0.5, 0, "none")
        assert "its page could not be made: no room: the work folder holds" in row["error"]
        assert "--max-disk" in row["error"]
        assert work.used == 0  # the clip is linked


def _told_early(self, filename, _):
    result = Result(filename, "ok", "", NOTHING)
    self._tell({"stage": "judging more faces", "share": 0.75, "row": result})
    return result, None


def test_earlier_pages_make_room_for_those_that_replace_them(tmp_path):
    work, name = WorkFolder(tmp_path / "work", max_bytes=100), "a" * 32
    work.of(name).mkdir()
    (work.of(name) / "page.html").write_bytes(bytes(80))
    work.weigh(name)
    work.make_room(name, {"page.html": 90})
    assert work.used == 90
    with pytest.raises(FullError, match="no room: the work folder holds 0 kB"):
        work.make_room(name, {"report.html": 95})
    work.close()


@pytest.mark.parametrize("told", [[0.1], []], ids=["while it is made", "when it is made"])
def test_a_preview_for_which_there_is_no_room_is_not_kept(tmp_path, monkeypatch, caplog, told):
    """Non-regression test: previews were written past --max-disk."""
    closed = []

    def measure(player, filename, path):
        player._tell({"media_type": "", "start_s": 0.0})
        (file := Path(path).with_name(PREVIEW + (".part" if told else ""))).write_bytes(bytes(500))
        for share in told:
            player._tell({"stage": "making a preview", "share": share})
        assert file.exists()
        return Result(filename, "crashed" if closed else "ok", "", NOTHING)

    monkeypatch.setattr(Player, "measure", measure)
    monkeypatch.setattr(Player, "close", lambda _: closed.append(True))
    with running(tmp_path / "work", max_disk=300) as one:
        one.upload(b"fine 0.5")
        (row,) = one.settled(1)
        assert (row["probability"], row["has_page"], row["player"]) == (0.5, 1, "none")
        assert len(closed) == len(told)
        assert one.server.parts.work.used < 300
    assert "no preview is kept: no room" in caplog.text


def test_a_list_of_an_earlier_version_is_read(tmp_path):
    clips = ClipList(tmp_path / "list")
    clips.add("a" * 32, "a", size=1)
    clips.close()
    with sqlite3.connect(tmp_path / "list") as other:
        for name in ("mark", "at_bound"):
            other.execute(f"ALTER TABLE clips DROP COLUMN {name}")
    (row,) = ClipList(tmp_path / "list").rows()
    assert (row["mark"], row["at_bound"]) == ("", False)


def test_evidence_that_a_killed_server_left_is_removed_at_the_start(tmp_path):
    """Evidence holds images of faces; the temporary folder, where it was, is nobody's to tidy."""
    work = WorkFolder(tmp_path, max_bytes=100)
    assert work.evidence.parent == tmp_path
    (work.evidence / "deepcue-abc").mkdir()
    (work.evidence / "deepcue-abc" / "evidence").touch()
    work.tidy(set())
    assert list(work.evidence.iterdir()) == []
    work.close()


def test_the_evidence_of_a_server_stays_in_its_folder(tmp_path):
    examiner = measuring.process_backend(Settings(()), Limits(), None, evidence=tmp_path).examiner(lambda _: None)
    assert [folder.name.startswith("deepcue-") for folder in tmp_path.iterdir()] == [True]
    examiner.close()
    assert list(tmp_path.iterdir()) == []

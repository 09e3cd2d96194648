"""Clips on their way in: limits, names, what breaks off, and how many at once."""

import csv
import errno
import io
import json
import os
import socket
import threading

import pytest
from events import wait_until
from page_server import running

from serve import uploads
from serve.uploads import MAX_AT_ONCE, MAX_NAME, kept_name

HOSTILE = [
    "<img src=x onerror=alert(1)>.mp4",
    "../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "a\x00b\r\nSet-Cookie: x.mp4",
    "\u202egpj.mp4",
    "'; DROP TABLE clips; --.mp4",
    "=1+1.mp4",
    "{{ 7 * 7 }}.mp4",
    "ä" * 400,
    "",
    ".",
    "  ",
    "%2e%2e%2f",
]


def left_over(one):
    return [str(path) for folder in ("incoming", "clips") for path in (one.server.parts.work.root / folder).iterdir()]


def begin(port, *, length, name="half.mp4"):
    """An upload whose body has not come yet."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST /api/clips?name={name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: video/mp4\r\n"
    connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(server, name):
    status, told = server.upload(b"fine 0.5", name)
    assert status == 201
    (row,) = server.settled(1)
    assert row["shown"].isprintable()
    assert 0 < len(row["name"]) <= 255
    assert "/" not in row["name"]
    assert sorted(os.listdir(server.server.parts.work.of(told["id"]))) == ["clip", "page.html", "report.html"]
    assert server.ask("GET", f"/clips/{told['id']}/report")[1]["Content-Disposition"].startswith("attachment; ")


def test_names_are_kept_without_folders():
    assert kept_name("/a/b/c.mp4") == "c.mp4"
    assert kept_name("C:\\a\\b.mp4") == "b.mp4"
    assert kept_name("  ") == "clip"
    assert kept_name("a\udce9.mp4") == "a\\udce9.mp4"  # a byte that is no UTF-8
    assert len(kept_name("ä" * 400)) <= MAX_NAME
    for name in ("Käse 東京.mp4", "Aufnahme 5.04\u202fPM.mov", "a\u202eb\n.mp4"):
        assert kept_name(name) == name


def test_a_name_is_exported_as_it_is_and_escaped_where_it_is_shown(server):
    """Non-regression test: exports had the escaped name, which no file is called by."""
    name = "Aufnahme 5.04\u202fPM \u202egpj\n.mov"
    server.upload(b"fine 0.5", name)
    (row,) = server.settled(1)
    assert row["name"] == name
    assert row["shown"] == "Aufnahme 5.04\u202fPM \\u202egpj\\n.mov"
    assert json.loads(server.ask("GET", "/clips.json")[2])["clips"][0]["name"] == name
    (exported,) = csv.DictReader(io.StringIO(server.ask("GET", "/clips.csv")[2].decode(), newline=""))
    assert exported["name"] == name


def test_waiting_page_shows_a_hostile_name_as_text(server):
    _, told = server.upload(b"wait", "<script>alert(1)</script>.mp4")
    page = server.ask("GET", f"/clips/{told['id']}")[2].decode()
    assert "&lt;script&gt;alert(1)&lt;" not in page  # the part before the last slash is a folder
    assert "script>.mp4" not in page.replace("script&gt;.mp4", "")


def test_a_body_above_the_limit_is_refused_by_its_length_alone(tmp_path):
    with running(tmp_path, max_upload=1000) as one:
        connection = begin(one.port, length=10**15)
        answer = connection.recv(65536)
        connection.close()
        assert answer.startswith(b"HTTP/1.1 413")
        wait_until(lambda: not left_over(one))
        assert one.rows() == []


def test_a_body_of_unknown_length_is_counted_while_it_comes(tmp_path):
    with running(tmp_path, max_upload=3 << 20) as one:
        status, _, body = one.ask("POST", "/api/clips?name=a", iter([bytes(1 << 20)] * 5))  # chunked
        assert status == 413
        assert "--max-upload" in json.loads(body)["error"]
        assert left_over(one) == []
        assert one.server.parts.work.used == 0
        status, _, _ = one.ask("POST", "/api/clips?name=a", iter([b"fine 0.5", b" "]))
        assert status == 201


def test_a_full_work_folder_says_what_to_do_and_has_room_again_after_a_deletion(tmp_path):
    with running(tmp_path, max_disk=5000) as one:
        _, first = one.upload(b"fine 0.5" + bytes(3000))
        one.settled(1)
        status, told = one.upload(b"fine 0.5" + bytes(3000))
        assert status == 507
        assert "--max-disk" in told["error"]
        assert len(left_over(one)) == 1
        assert one.ask("DELETE", f"/api/clips/{first['id']}")[0] == 204
        assert one.server.parts.work.used == 0
        assert one.upload(b"fine 0.5" + bytes(3000))[0] == 201


@pytest.mark.parametrize("kind", ["text/html", "application/json", "multipart/form-data; boundary=x", "image/svg+xml"])
def test_another_type_is_refused(server, kind):
    status, told = server.upload(b"fine 0.5", Content_Type=kind)
    assert status == 415
    assert kind.split(";")[0] in told["error"]


@pytest.mark.parametrize("kind", ["video/mp4", "audio/wav", "audio/mpeg", "application/octet-stream"])
def test_video_and_audio_files_are_accepted(server, kind):
    assert server.upload(b"fine 0.5", Content_Type=kind)[0] == 201


def test_an_empty_file_is_refused(server):
    assert server.upload(b"")[0] == 400
    assert left_over(server) == []


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(server):
    connection = begin(server.port, length=10**6)
    connection.sendall(bytes(10_000))
    wait_until(lambda: server.server.parts.uploads.under_way == 1 and left_over(server))
    connection.close()
    wait_until(lambda: server.server.parts.uploads.under_way == 0)
    assert left_over(server) == []
    assert server.rows() == []
    assert server.server.parts.work.used == 0
    assert server.upload(b"fine 0.5")[0] == 201


def test_a_client_that_sends_nothing_more_is_given_up(server, monkeypatch):
    monkeypatch.setattr(uploads, "STALL_S", 0.05)
    connection = begin(server.port, length=10**6)
    assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    connection.close()
    wait_until(lambda: server.server.parts.uploads.under_way == 0)
    assert left_over(server) == []


def test_of_fifty_uploads_at_once_a_few_are_taken_and_the_others_told_to_come_again(server):
    answers, ready = [], threading.Barrier(50)

    def upload(number):
        ready.wait()
        answers.append((number, *server.upload(b"fine 0.5" + bytes(200_000), f"{number}.mp4")))

    open_ones = [begin(server.port, length=100) for _ in range(MAX_AT_ONCE - 1)]
    wait_until(lambda: server.server.parts.uploads.under_way == MAX_AT_ONCE - 1)
    threads = [threading.Thread(target=upload, args=(number,)) for number in range(50)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    statuses = {status for _, status, _ in answers}
    assert statuses == {201, 503}
    assert server.server.parts.uploads.most_at_once == MAX_AT_ONCE
    taken = {f"{number}.mp4" for number, status, _ in answers if status == 201}
    for connection in open_ones:
        connection.close()
    assert {row["name"] for row in server.settled(len(taken))} == taken
    assert server.upload(b"fine 0.5")[0] == 201


def test_a_refused_upload_says_when_to_come_again(server):
    open_ones = [begin(server.port, length=100) for _ in range(MAX_AT_ONCE)]
    wait_until(lambda: server.server.parts.uploads.under_way == MAX_AT_ONCE)
    status, headers, body = server.ask("POST", "/api/clips?name=a", b"fine 1")
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert "try again" in json.loads(body)["error"]
    for connection in open_ones:
        connection.close()


def test_a_full_disk_costs_the_upload_and_nothing_else(server, monkeypatch):
    def full(_file, _block):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "write", full)
        status, told = server.upload(b"fine 0.5")
    assert status == 507
    assert told["error"] == uploads.NO_DISK
    assert left_over(server) == []
    assert server.rows() == []
    assert server.upload(b"fine 0.5")[0] == 201


def test_an_upload_is_never_held_in_memory(server, monkeypatch):
    sizes = []

    def note(file, block):
        sizes.append(len(block))
        file.write(block)

    monkeypatch.setattr(uploads, "write", note)
    assert server.upload(b"fine 0.5 " + bytes(8 << 20))[0] == 201
    assert sum(sizes) == (8 << 20) + 9
    assert max(sizes) < 2 * uploads.BLOCK

"""The command: what it prints, what it refuses in one sentence, and its end."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest
import uvicorn
from events import wait_until

from deepcue.cli import serve
from deepcue.cli.main import command_parser
from deepcue.cli.main import main as deepcue
from serve import server


def started(*words):
    """The command in a process of its own, and the address that it printed."""
    command = [sys.executable, "-m", "deepcue", "serve", "--port", "0", *map(str, words)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return child, child.stdout.readline().strip()


def below(child):
    return psutil.Process(child.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_all_that_it_started(tmp_path, number):
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"no video")
    child, url = started(clip, "--work", tmp_path / "work")
    wait_until(lambda: below(child))  # the measuring process
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))) as connection:
        connection.sendall(b"POST /api/clips?name=b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n")
        processes = below(child)
        child.send_signal(number)
        _, errors = child.communicate()
    assert child.returncode == (0 if number == signal.SIGTERM else 130)
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert "resumes with the queued clips" in errors
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes))
    assert list((tmp_path / "work" / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("before", "caught"), [(signal.SIG_DFL, [signal.SIGHUP]), (signal.SIG_IGN, [])], ids=["terminal", "nohup"]
)
def test_a_terminal_that_is_closed_ends_the_server_unless_nohup_keeps_it(before, caught):
    """Non-regression test: SIGHUP killed the server, which then removed nothing."""
    was = signal.signal(signal.SIGHUP, before)
    try:
        with server._Uvicorn(uvicorn.Config(lambda: None)).signals_caught() as numbers:
            os.kill(os.getpid(), signal.SIGHUP)
        assert numbers == caught
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, was)


def test_it_prints_its_address_which_answers(tmp_path):
    child, url = started("--work", tmp_path)
    try:
        with urllib.request.urlopen(url) as answer:
            assert b"Is it fake?" in answer.read()
    finally:
        child.terminate()
        child.communicate()


def test_without_its_packages_it_says_how_to_install_them(tmp_path, monkeypatch, capsys):
    find = serve.importlib.util.find_spec
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    assert deepcue(["serve", "--work", str(tmp_path)]) == 2
    assert capsys.readouterr().err == ("error: the page needs uvicorn: pip install starlette uvicorn\n")


def test_what_it_refuses(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert deepcue(["serve", "--work", str(tmp_path / "a"), "--port", port]) == 2
        assert f"127.0.0.1:{port}: can't be listened on" in capsys.readouterr().err
    assert deepcue(["serve", "--work", str(tmp_path / "a"), "--host", "not an address"]) == 2
    assert "give 127.0.0.1" in capsys.readouterr().err
    assert deepcue(["serve", "--work", str(tmp_path / "a"), "--model", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert deepcue(["serve", str(tmp_path / "not there"), "--work", str(tmp_path / "a")]) == 2
    assert "not there" in capsys.readouterr().err
    assert deepcue(["serve", "http://127.0.0.1:9/a.mp4", "--work", str(tmp_path / "a")]) == 2
    assert "is a URL, and the page plays files of this machine only" in capsys.readouterr().err
    assert deepcue(["serve", "--max-upload", "much"]) == 2
    assert "is not a size" in capsys.readouterr().err


def test_jobs_has_its_earlier_spelling():
    parser = command_parser("serve")
    assert [parser.parsed(words).jobs for words in ([], ["--jobs", "3"], ["--at-once", "2"])] == [1, 3, 2]
    assert "--at-once" not in parser.format_help()


def test_others_are_spoken_of_where_there_are_others():
    assert serve.queued(3, 3) == "3 of 3 clips queued"
    assert serve.queued(1, 2).startswith("1 of 2 clips queued; the others are already in the list")


def test_sizes():
    assert [serve.n_bytes(text) for text in ("1", "1k", "500M", "1.5 GB", "2g")] == [
        1,
        1000,
        500_000_000,
        1_500_000_000,
        2_000_000_000,
    ]
    for text in ("", "0", "-1", "G", "1X"):
        with pytest.raises(argparse.ArgumentTypeError):
            serve.n_bytes(text)


@pytest.mark.parametrize("text", ["70000", "65536", "-1", "x", "", "٣"])
def test_what_is_no_port_is_refused_by_the_option(tmp_path, capsys, text):
    assert deepcue(["serve", "--work", str(tmp_path), f"--port={text}"]) == 2
    assert "is not a port" in capsys.readouterr().err


def test_ports_and_names_of_a_proxy():
    assert [serve.port(text) for text in ("0", "8765", "65535")] == [0, 8765, 65535]
    assert serve.origin("https://Clips.Example:443/") == "https://clips.example"
    assert serve.origin("https://bücher.example:8443") == "https://xn--bcher-kva.example:8443"
    for text in ("http://a", "a", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:99999", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="write https://name"):
            serve.origin(text)


def test_a_folder_and_a_file_of_any_name_are_queued(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.mp4").touch()
    (tmp_path / "b.unknown").touch()
    assert [clip.filename for clip in serve._clips(str(tmp_path / "folder"))] == ["a.mp4"]
    (clip,) = serve._clips(str(tmp_path / "b.unknown"))
    assert (clip.filename, os.path.basename(clip.path)) == ("b.unknown", "b.unknown")

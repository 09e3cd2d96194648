"""Nobody else gets in: names, origins, tokens, headers, and nothing beyond the work folder."""

import contextlib
import errno
import ipaddress
import socket

import pytest
from events import wait_until
from page_server import running

from deepcue.cli.serve import origin
from serve import drain, guard
from serve import server as serving
from serve.guard import HEADERS, Guard, is_loopback
from serve.server import reachable

FOREIGN = [
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "a@127.0.0.1",
    "[",
]


def raw(port, request):
    """What comes back for bytes."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_is_refused(server, host):
    assert server.ask("GET", "/", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST:9", "127.8.9.1:1"])
def test_names_of_this_machine_are_answered_whatever_the_port(server, host):
    assert server.ask("GET", "/", Host=host)[0] == 200


def test_another_address_is_no_name_of_a_server_on_the_loopback(server):
    assert server.ask("GET", "/", Host="192.168.1.7:8765")[0] == 421


def test_two_names_are_refused(server):
    answer = raw(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] in {b"400", b"421"}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_requests_from_pages_of_other_sites_are_refused_and_change_nothing(server, origin):
    clip_id = server.upload(b"fine 0.5")[1]["id"]
    server.settled(1)
    assert server.ask("GET", "/api/clips", Origin=origin)[0] == 403
    assert server.ask("POST", "/api/clips?name=b", b"fine 1", Origin=origin)[0] == 403
    assert server.ask("DELETE", f"/api/clips/{clip_id}", Origin=origin)[0] == 403
    assert [row["id"] for row in server.rows()] == [clip_id]


def test_a_page_of_its_own_may_do_everything(server):
    own = f"http://127.0.0.1:{server.port}"
    status, told = server.upload(b"fine 0.5", Origin=own)
    assert status == 201
    assert server.ask("DELETE", f"/api/clips/{told['id']}", Origin=own, Sec_Fetch_Site="same-origin")[0] == 204


def test_images_and_scripts_of_other_pages_get_nothing_but_a_link_does(server):
    assert server.ask("GET", "/clips.json", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert server.ask("GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert server.ask("POST", "/api/clips", b"x", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 403


def test_every_answer_forbids_inline_scripts_and_styles_and_frames(server):
    for path in ("/", "/static/list.js", "/api/clips", "/nothing", "/clips/x"):
        headers = server.ask("GET", path)[1]
        assert {name: headers[name] for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")


def test_pages_have_neither_inline_scripts_nor_styles(server):
    page = server.ask("GET", "/")[2].decode()
    assert "<style" not in page
    assert " style=" not in page
    assert "onclick" not in page
    assert page.count("<script") == page.count('<script src="/static/')


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/clip.css/../../app.py",
        "/clips/../../etc/passwd/video",
        "/clips/..%2f..%2fclips.sqlite3/video",
        "/clips/..%5c..%5cclips/report",
        "/clips/{id}/../../../clips.sqlite3",
        "/clips/{id}/clip",
        "/clips/%00/video",
        "//etc/passwd",
        "/clips.sqlite3",
        "/lock",
    ],
)
def test_no_path_leads_out_of_what_is_served(server, path):
    clip_id = server.upload(b"fine 0.5")[1]["id"]
    server.settled(1)
    status, _, body = server.ask("GET", path.format(id=clip_id))
    assert status in {404, 405}
    assert b"SQLite" not in body
    assert b"root:" not in body


def test_a_link_out_of_the_work_folder_is_no_clip(server, tmp_path):
    clip_id = server.upload(b"fine 0.5")[1]["id"]
    server.settled(1)
    for made_up in ("0" * 32, clip_id.upper(), clip_id[:-1], f"{clip_id}x"):
        if made_up != clip_id:
            assert server.ask("GET", f"/clips/{made_up}/video")[0] == 404
            assert server.ask("DELETE", f"/api/clips/{made_up}")[0] == 404


def test_beyond_this_machine_a_token_is_asked_for(tmp_path):
    with running(tmp_path, host="0.0.0.0") as one:
        token = one.server.token
        assert len(token) > 30
        assert token in one.server.url
        assert not one.server.url.startswith("http://0.0.0.0")
        assert one.server.local.startswith("http://0.0.0.0:")
        for path in ("/", "/api/clips", "/static/list.js", "/?token=wrong", "/?token=", "/api/clips?token=" + token):
            assert one.ask("GET", path)[0] == 401
        assert one.ask("POST", "/api/clips?name=a", b"fine 1", Cookie="deepcue_token=wrong")[0] == 401
        status, headers, body = one.ask("GET", f"/?token={token}")
        cookie = headers["Set-Cookie"]
        assert status == 200
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert token not in body.decode()
        assert one.ask("GET", "/api/clips", Cookie=cookie.split(";")[0])[0] == 200
        assert one.ask("GET", "/", Host="192.168.1.7:8765", Cookie=cookie.split(";")[0])[0] == 200
        assert one.ask("GET", "/", Host="evil.example", Cookie=cookie.split(";")[0])[0] == 421


@pytest.mark.parametrize(
    "cookie",
    [
        'prefs={"a":1}; deepcue_token={token}',
        "a[0]=x y; ,; =; deepcue_token={token};",
        "deepcue_token=of another path; deepcue_token={token}",
        "deepcue_token={token}; deepcue_token=",
    ],
)
def test_cookies_of_other_servers_do_not_hide_the_token(tmp_path, cookie):
    """Non-regression test: behind a cookie that Python's http.cookies can't read, a valid token was none."""
    with running(tmp_path, token=True) as one:
        assert one.ask("GET", "/", Cookie=cookie.replace("{token}", one.server.token))[0] == 200
        for wrong in ("", "wrong", one.server.token[:-1], f'"{one.server.token}'):
            assert one.ask("GET", "/", Cookie=cookie.replace("{token}", wrong))[0] == 401


def test_connections_that_ask_for_nothing_keep_nobody_out(tmp_path):
    """Non-regression test: 200 of them, which need no token, made every answer a 503."""
    with running(tmp_path, token=True) as one, contextlib.ExitStack() as held:
        for _ in range(220):
            held.enter_context(socket.create_connection(("127.0.0.1", one.port)))
        wait_until(lambda: len(one.server._uvicorn.server_state.connections) >= 220)
        assert one.ask("GET", "/", Cookie=f"deepcue_token={one.server.token}")[0] == 200


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_connection_that_does_not_come_to_ask_is_closed(server, monkeypatch, begun):
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(begun)
        assert connection.recv(100) == b""


def test_a_later_request_that_is_not_completed_is_closed_as_the_first(server, monkeypatch):
    """Non-regression test: the limit held for a connection's first request only."""
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for _ in range(2):
            connection.sendall(b"GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(1000)
            assert answer.split(b" ", 2)[1] == b"204"
        connection.sendall(b"GET / HT")
        assert connection.recv(100) == b""


@pytest.mark.parametrize("rest", [b"\r\n", b"Content-Length: 9\r\n\r\nhalf"])
def test_who_is_refused_holds_no_connection(server, rest):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /api/clips?name=a HTTP/1.1\r\nHost: evil.example\r\n" + rest)
        answer = b""
        while part := connection.recv(1000):  # to the end of the connection
            answer += part
    assert answer.split(b" ", 2)[1] == b"421"
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "rest", [b"\r\n", b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"], ids=["no body", "waits to go on"]
)
@pytest.mark.parametrize("host", [b"evil.example", b"localhost"])
def test_who_is_refused_and_sends_nothing_is_answered_at_once(server, monkeypatch, host, rest):
    """Non-regression test: a client that asked whether to go on was told to, and uploaded what was refused."""
    monkeypatch.setattr(drain, "DRAIN_S", 20.0)
    head = b"POST /api/clips?name=a HTTP/1.1\r\nConnection: close\r\nContent-Type: text/html\r\nHost: "
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head + host + b"\r\n" + rest)
        answer = connection.recv(1000)
    assert answer.split(b" ", 2)[1] == (b"415" if host == b"localhost" else b"421")


def test_who_is_refused_while_a_clip_is_sent_hears_why(tmp_path):
    """Non-regression test: the connection was reset, and the page tried the upload again."""
    with running(tmp_path, token=True) as one:
        clip = bytes(20 << 20)  # more than the buffers of a connection
        assert one.ask("POST", "/api/clips?name=a", clip)[0] == 401
        assert one.ask("POST", "/api/clips?name=a", clip, Host="evil.example")[0] == 421


def test_who_is_refused_and_sends_on_is_read_for_a_while_alone(server, monkeypatch):
    monkeypatch.setattr(drain, "DRAIN_S", 0.1)
    head = b"POST /api/clips?name=a HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(bytes(1 << 30))


def test_an_upload_may_take_longer_than_a_first_request(server, monkeypatch):
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    request = b"POST /api/clips?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        wait_until(lambda: server.server.parts.uploads.under_way == 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
            assert other.recv(100) == b""  # so long has passed
        connection.sendall(b"fine 0.5")
        assert connection.recv(1000).split(b" ", 2)[1] == b"201"


def test_too_many_answers_at_a_time_are_refused_as_all_else_is(server, monkeypatch):
    monkeypatch.setattr(guard, "MAX_ANSWERS", 1)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /api/clips?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        wait_until(lambda: server.server.parts.uploads.under_way == 1)
        status, headers, body = server.ask("GET", "/")
        assert (status, b"try again" in body) == (503, True)
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert server.ask("GET", "/", Host="evil.example")[0] == 421
    wait_until(lambda: server.ask("GET", "/")[0] == 200)


def test_a_token_may_be_asked_for_on_a_machine_with_other_users(tmp_path):
    with running(tmp_path, token=True) as one:
        assert one.ask("GET", "/")[0] == 401


def test_which_addresses_only_this_machine_reaches():
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.1", "example.org", "localhost.example.org"]))


def test_another_protocol_is_not_answered():
    import asyncio

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(None, host="127.0.0.1")({"type": "websocket"}, None, send))
    assert sent == []


def test_the_printed_address_is_one_that_others_can_open():
    for every in ("0.0.0.0", "::"):
        address = ipaddress.ip_address(reachable(every))
        assert not address.is_unspecified
    assert [reachable(host) for host in ("127.0.0.1", "::1", "box.example")] == ["127.0.0.1", "::1", "box.example"]


def test_without_a_network_this_machines_address_is_printed(monkeypatch):
    def no_route(*_):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", no_route)
    assert reachable("0.0.0.0") == reachable("::") == "127.0.0.1"


def test_behind_a_proxy_with_tls_its_name_and_origin_are_let_in_with_the_token(tmp_path):
    """Non-regression test: every upload through such a proxy was refused, as its Origin is https."""
    with running(tmp_path, origin="https://clips.example") as one:
        assert one.server.url == f"https://clips.example/?token={one.server.token}"
        proxied = {"Host": "clips.example", "Origin": "https://clips.example"}
        assert one.ask("POST", "/api/clips?name=a", b"fine 1", **proxied)[0] == 401, "others reach the proxy"
        cookie = one.ask("GET", f"/?token={one.server.token}", Host="clips.example")[1]["Set-Cookie"]
        assert "secure" in cookie.lower().split("; ")
        carried = {"Cookie": cookie.split(";")[0]}
        for host in (
            "clips.example",
            "CLIPS.example:443",
            f"127.0.0.1:{one.port}",
        ):  # not every proxy hands on its name
            told = carried | proxied | {"Host": host, "Sec_Fetch_Site": "same-origin"}
            assert one.ask("POST", "/api/clips?name=a", b"fine 1", **told)[0] == 201
        for host, origin, status in [
            ("clips.example", "http://clips.example", 403),
            ("clips.example", "https://clips.example.evil.example", 403),
            ("clips.example", "null", 403),
            ("evil.example", "https://clips.example", 421),
            ("x.clips.example", "https://clips.example", 421),
        ]:
            told = carried | {"Host": host, "Origin": origin}
            assert one.ask("POST", "/api/clips?name=a", b"fine 1", **told)[0] == status


def test_without_a_proxy_no_name_is_empty(server):
    assert raw(server.port, b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n").split(b" ", 2)[1] == b"421"


def test_an_origin_may_be_an_address_of_ip_version_6():
    assert origin("https://[fd00::1]:8443") == "https://[fd00::1]:8443"
    assert origin("https://[fd00::1]/") == "https://[fd00::1]"

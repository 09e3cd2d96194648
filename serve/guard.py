"""Access control: admit requests by the server's own name, from its own pages, with the token if one is required.

A page of another site can make a browser on this machine send requests to this server. Such a request has another
site in ``Origin``, or, after DNS rebinding, a foreign name in ``Host``; both are refused. Behind a TLS proxy, the
proxy's name is accepted as well. Every answer forbids scripts and styles that are not files of this server, and
embedding in other sites' pages.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.drain import drain

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
LOCAL_NAMES = frozenset({"localhost"})
COOKIE = "deepcue_token"
YEAR_S = 365 * 24 * 3600
# Browsers do not send a strict cookie along a redirect that began on another site, such as a chat; they do send it when
# a page of this server navigates on.
WELCOME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<title>deepcue</title><p><a href="/">Go on</a></p></html>"""
MAX_ANSWERS = 200
"""Limit of requests that are answered at the same time; refused requests do not count, so they block nobody."""
BUSY = f"{MAX_ANSWERS} requests are under way; try again in a moment."
NO_TOKEN = "This page needs its token: open the address that `deepcue serve` printed."


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address; of names, only ``localhost`` counts."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in LOCAL_NAMES


class Guard:
    """Pass requests on to an application, or refuse them.

    Parameters
    ----------
    app
        The application to protect.
    host
        The address that the server listens on.
    token
        Token that a request must carry in a cookie, which the address ``/?token=...`` sets; empty if none is required.
    origin
        Address of a TLS proxy in front, ``https://name`` or ``https://name:port`` as browsers write it; empty if there
        is no proxy. With a proxy, browsers send the cookie over TLS only.
    """

    def __init__(self, app: ASGIApp, *, host: str, token: str = "", origin: str = "") -> None:
        self._app = app
        self._host = host
        self._local = is_loopback(host)
        self._token = token
        self._origin = origin
        self._proxy = urlsplit(origin).hostname or ""
        self._n_answers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        if refusal := self._refusal(scope):
            refusal.headers["connection"] = "close"  # a refused client keeps no connection after the drain
            await drain(receive, Headers(scope=scope))
            await refusal(scope, receive, send_guarded)
            return
        self._n_answers += 1
        try:
            await self._app(scope, receive, send_guarded)
        finally:
            self._n_answers -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is refused; None for one that is admitted."""
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not self._is_own(headers["host"]):
            return PlainTextResponse("This server does not answer to that name.", 421)
        if any(origin not in self._origins(headers["host"]) for origin in headers.getlist("origin")):
            return PlainTextResponse("Requests from pages of other sites are refused.", 403)
        site = headers.get("sec-fetch-site", "none")
        arrives = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if site not in {"none", "same-origin"} and not arrives:
            return PlainTextResponse("Requests from pages of other sites are refused.", 403)
        if self._token and (answer := self._without_token(scope, headers)):
            return answer
        is_busy = self._n_answers >= MAX_ANSWERS
        return PlainTextResponse(BUSY, 503, {"Retry-After": "1"}) if is_busy else None

    def _origins(self, host: str) -> set[str]:
        """Return the origins of this server's pages; pages behind the proxy always use TLS."""
        if not self._origin:
            return {f"http://{host}"}
        is_proxy = urlsplit(f"//{host}").hostname == self._proxy
        # some proxies do not pass on their name
        return {self._origin} if is_proxy else {self._origin, f"http://{host}"}

    def _is_own(self, host: str) -> bool:
        """Return whether a ``Host`` names this server: by its name, or by an IP address, which DNS can't fake."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            _ = urlsplit(f"//{host}").port
        except ValueError:
            return False
        if "@" in host or "/" in host:
            return False
        if name in LOCAL_NAMES or name == self._host.lower() or (self._proxy and name == self._proxy):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._local

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and self._is_token(given):
            answer = HTMLResponse(WELCOME)
            answer.set_cookie(
                COOKIE, self._token, max_age=YEAR_S, httponly=True, samesite="strict", secure=bool(self._origin)
            )
            return answer
        # other servers on this machine set cookies as well, some of which http.cookies can't parse
        pairs = [pair.strip().partition("=") for pair in headers.get("cookie", "").split(";")]
        is_known = any(name == COOKIE and self._is_token(value) for name, _, value in pairs)
        return None if is_known else PlainTextResponse(NO_TOKEN, 401)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

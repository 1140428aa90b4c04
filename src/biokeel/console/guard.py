"""Who may see the console, asked before anything of it answers: pages, files and the socket that keeps a page fresh.

Three questions, for a console has no sign-in yet:

| question | against |
| --- | --- |
| Is the `Host` one of ours? | a page elsewhere whose name was made to lead here (DNS rebinding) |
| Is the `Origin`, where there is one, ours? | a page elsewhere, or of another port here, that opens our socket |
| Does the cookie hold the token? | everybody else on this machine |

The token comes in once, with the address that was printed, and becomes a cookie that no script reads and no other site
sends along.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

OWN_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
PARAMETER: Final = "token"
_HTTP_PORT: Final = 80
_POLICY_VIOLATION: Final = 1008

_SHUT: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Biokeel: the console is shut</title></head>
<body><h1>The console is shut</h1>
<p>It opens by an address that holds a token. <code>biokeel stack up</code> printed it, and
<code>biokeel stack status</code> prints it again; a console started by hand (<code>biokeel console</code>) prints its
own.</p></body></html>
"""


def hosts(port: int, named: str) -> frozenset[str]:
    """By what a browser may call a console that listens on `port`: its own names, and `named`, divided by commas."""
    suffix = "" if port == _HTTP_PORT else f":{port}"
    others = (name.strip().lower() for name in named.split(","))
    return frozenset({name + suffix for name in OWN_NAMES} | {name for name in others if name})


def with_token(url: str, token: str) -> str:
    """The address that opens the console at `url`."""
    return f"{url}/?{PARAMETER}={token}"


class Guard:
    """ASGI middleware over the whole console. `port` is the console's, `allowed` is what `hosts` says."""

    def __init__(self, app: ASGIApp, *, token: str, port: int, allowed: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._allowed = allowed
        # A cookie goes to every port of a host: two consoles must not take each other's away.
        self._cookie = f"biokeel_console_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `scope` through, or answer it here."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        """What to answer in the console's place, if anything."""
        if not _are(asked.headers.getlist("host"), self._allowed, least=1):
            return PlainTextResponse("The console has no such host; BIOKEEL_CONSOLE_HOSTS names more.\n", 403)
        origins = asked.headers.getlist("origin")
        if not _are((_host_of(origin) for origin in origins), self._allowed, least=0):
            return PlainTextResponse("The console takes no requests from other pages.\n", 403)
        if self._is_token(asked.cookies.get(self._cookie, "")):
            return None
        if asked.url.path == "/" and self._is_token(asked.query_params.get(PARAMETER, "")):
            return self._opened(secure=asked.url.scheme == "https")
        return HTMLResponse(_SHUT, 401, {"Cache-Control": "no-store", "WWW-Authenticate": "Token"})

    def _is_token(self, shown: str) -> bool:
        """In a time that says nothing about how much of it is right."""
        return hmac.compare_digest(shown.encode(), self._token.encode())

    def _opened(self, *, secure: bool) -> Response:
        """To the page itself, so that the token stands in no address bar and no history for long."""
        response = RedirectResponse("/", 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", secure=secure)
        return response


def _are(names: Iterable[str], allowed: frozenset[str], *, least: int) -> bool:
    """Whether each of `names` is allowed, and there are at least `least` and at most one."""
    found = [name.lower() for name in names]
    return least <= len(found) <= 1 and allowed.issuperset(found)


def _host_of(origin: str) -> str:
    """The host and port of an origin; empty for one that has none (`null`: a sandbox, a file)."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""

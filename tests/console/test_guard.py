"""Who may see the console."""

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from biokeel.console.guard import Guard, hosts

TOKEN, PORT = "right-token", 8123
HERE = f"http://127.0.0.1:{PORT}"
COOKIE = {"Cookie": f"biokeel_console_{PORT}={TOKEN}"}
BAD_HOSTS = ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:9", f"127.0.0.1.evil.example:{PORT}", ""]
BAD_ORIGINS = ["http://evil.example", "http://127.0.0.1:9", "null", "", "http://[", f"http://evil.example#{HERE}"]


async def inside(scope, receive, send):
    """The console, as far as these tests need one."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).accept()
    else:
        await PlainTextResponse("inside")(scope, receive, send)


GUARDED = Guard(inside, token=TOKEN, port=PORT, allowed=hosts(PORT, "ops.example, Beside.Example:99"))


def get(path="/", base=HERE, **headers):
    """What a browser gets, without following redirects."""

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(GUARDED), base_url=base) as client:
            return await client.get(path, headers=headers)

    return anyio.run(ask)


def socket_is_open(headers):
    """Whether a websocket with these headers (name, value) is accepted."""
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def receive():
        return {"type": "websocket.connect"}

    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope = {
        "type": "websocket",
        "path": "/_nicegui_ws/socket.io/",
        "headers": raw,
        "query_string": b"",
        "scheme": "ws",
    }
    anyio.run(GUARDED, scope, receive, send)
    return sent == ["websocket.accept"]


@pytest.mark.parametrize("path", ["/", "/_nicegui/3/static/x.js", "/_nicegui_ws/socket.io/?EIO=4", f"/x?token={TOKEN}"])
def test_without_the_token_nothing_answers_and_the_page_says_where_to_find_it(path):
    answer = get(path)
    assert answer.status_code == 401
    assert "biokeel stack status" in answer.text
    assert "inside" not in answer.text
    assert TOKEN not in answer.text + str(answer.headers)


def test_the_printed_address_gives_a_cookie_that_no_script_reads_and_leads_on_to_the_page():
    answer = get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"biokeel_console_{PORT}={TOKEN};")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert "Secure" in get(f"/?token={TOKEN}", "https://ops.example").headers["set-cookie"]
    assert get(**COOKIE).text == "inside"


@given(st.text(max_size=40).filter(lambda text: text != TOKEN))
def test_no_other_token_opens_anything(shown):
    assert get(httpx.URL("/", params={"token": shown})).status_code == 401


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_name_that_is_not_ours_is_refused_even_with_the_token(host):
    assert get(Host=host, **COOKIE).status_code == 403
    assert not socket_is_open([("Host", host), *COOKIE.items()])


@pytest.mark.parametrize("base", [HERE, f"http://localhost:{PORT}", f"http://[::1]:{PORT}", "http://OPS.example"])
def test_our_names_and_those_of_the_setting_are_served(base):
    assert get(base=base, Origin=base, **COOKIE).text == "inside"
    assert get(Host="beside.example:99", **COOKIE).text == "inside"


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_another_pages_socket_and_requests_are_refused_even_with_the_cookie(origin):
    assert get(Origin=origin, **COOKIE).status_code == 403
    assert not socket_is_open([("Host", f"127.0.0.1:{PORT}"), ("Origin", origin), *COOKIE.items()])


def test_a_socket_opens_with_our_origin_and_the_cookie_only():
    host = ("Host", f"127.0.0.1:{PORT}")
    assert socket_is_open([host, ("Origin", HERE), *COOKIE.items()])
    assert not socket_is_open([host, ("Origin", HERE)])
    assert not socket_is_open([host, host, ("Origin", HERE), *COOKIE.items()])
    assert not socket_is_open([("Origin", HERE), *COOKIE.items()])


def test_a_console_on_the_webs_own_port_is_called_without_it():
    assert "localhost" in hosts(80, "")
    assert "localhost" not in hosts(PORT, "")

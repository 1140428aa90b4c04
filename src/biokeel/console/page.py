"""The operators' page. Everything is served from this process; the page asks nothing of any other host."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from nicegui import Client, app, background_tasks, ui
from nicegui.server import Server

from biokeel.console import draw, guard
from biokeel.console.watch import View, watch_beside, watch_books, watch_rules, watch_workers
from biokeel.errors import PortTaken
from biokeel.observe.stats import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from biokeel.books.published import Published
    from biokeel.rulebook.shown import ShownRules
    from biokeel.rules.beside_seen import Seen

HOST: Final = "127.0.0.1"
STOP_SECONDS: Final = 0.5
"""How long it may take to see that it is to stop."""
REFRESH: Final = 1.0
"""Seconds between two updates of an open page."""


def serve(
    state_dir: Path,
    read: Callable[[], Published | None],
    rules: ShownRules,
    beside: Callable[[], Seen | None],
    *,
    port: int,
    announce: Callable[[str], None],
    token: str,
    hosts: str = "",
) -> None:
    """Serve the page on 127.0.0.1:`port` (0: any free one) until interrupted; `announce` is called with its URL.

    The workers are found below `state_dir`; `read` gives what the follower of the books has seen, `rules` what is in
    force, `beside` what is counted beside the stream.
    Only who shows `token` is served (`guard`), by the console's own names or one of `hosts`. Raises `PortTaken`.
    """
    port = _free(port)
    app.add_middleware(guard.Guard, token=token, port=port, allowed=guard.hosts(port, hosts))
    view = View(Snapshot(0.0))

    def start() -> None:
        # NiceGUI logs what a background task raises, and cancels it when the server stops.
        background_tasks.create(watch_workers(state_dir, view, watched), name="watch workers")
        background_tasks.create(watch_books(read, view, watched), name="watch books")
        background_tasks.create(watch_rules(rules, view, watched), name="watch rules")
        background_tasks.create(watch_beside(beside, view, watched), name="watch beside")
        background_tasks.create(_announce(port, announce), name="announce")

    app.on_startup(start)
    Server.main_loop = _main_loop  # type: ignore[method-assign,assignment]  # NiceGUI has no place for another server
    ui.page("/", title="Biokeel operations", dark=None, language="en-US")(lambda: build(view))
    ui.run(
        host=HOST,
        port=port,
        show=False,
        reload=False,
        favicon="⚓",
        show_welcome_message=False,
        uvicorn_logging_level="warning",
        log_config=None,  # uvicorn's own handlers would print what ours mask
    )


async def _main_loop(server: Server) -> None:
    """Look now and then whether `server` is to end: uvicorn's own does ten times a second, for ever.

    At each tenth tick it sets the date of its answers.
    """
    ticks = 0
    while not await server.on_tick(ticks):
        ticks += 10
        await asyncio.sleep(STOP_SECONDS)


def watched() -> bool:
    """Whether anybody has a page open."""
    return any(client.has_socket_connection for client in Client.instances.values())


def build(view: View) -> None:
    """One visitor's page: the parts, redrawn where they changed."""
    ui.context.client.on_connect(view.opened.set)
    ui.add_css(files("biokeel.console").joinpath("page.css").read_text(encoding="utf-8"))
    parts: list[tuple[ui.html, Callable[[View], str]]] = []

    def part(drawn: Callable[[View], str]) -> None:
        parts.append((ui.html(drawn(view), sanitize=False), drawn))

    with ui.element("main").classes("page"):
        part(draw.header)
        part(draw.tiles)
        part(draw.alarms)
        part(draw.beside)
        part(draw.flow)
        with ui.element("div").classes("two"):
            with ui.element("div").classes("stack"):
                part(draw.plot)
                part(draw.rejects)
                part(draw.withheld)
            part(draw.lag_table)
        part(draw.books_table)
        part(draw.rules_table)

    def redraw() -> None:
        for element, drawn in parts:
            element.set_content(drawn(view))

    ui.timer(REFRESH, redraw)


async def _announce(port: int, announce: Callable[[str], None]) -> None:
    """Say the URL once it answers: NiceGUI's start-up hooks run before the port is open."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            announce(f"http://{HOST}:{port}")
            return


def _free(port: int) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PortTaken(f"Port {port} is not free.", "Choose another: biokeel console --port 0.") from None
        return int(probe.getsockname()[1])

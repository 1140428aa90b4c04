"""`biokeel console`: the operators' page."""

from __future__ import annotations

import secrets
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from biokeel.cli.terminal import say

if TYPE_CHECKING:
    from biokeel.land.objects import Objects


def register(app: typer.Typer) -> None:
    """Add `console`."""
    app.command()(console)


def console(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")] = None,
) -> None:
    """Serve the operators' page: the way of an event with live numbers, lag, rejects, and the books.

    It is opened by the address that is printed, which holds a token made anew each time; or by BIOKEEL_CONSOLE_TOKEN,
    which is not printed, because what the stack's console prints goes into a log.
    """
    from biokeel.books.published import Published
    from biokeel.console.guard import with_token
    from biokeel.console.page import serve
    from biokeel.land.lake import Lake
    from biokeel.observe.logs import configure_logs
    from biokeel.rulebook.shown import ShownRules
    from biokeel.rules.beside_seen import Seen
    from biokeel.settings import OPERATOR, Settings

    settings = Settings.load()
    configure_logs(settings.log_level)

    @cache
    def objects() -> Objects:
        return Lake.of(Settings.load(OPERATOR, state_dir=settings.state_dir)).objects

    given = settings.console_token.get_secret_value()
    token = given or secrets.token_urlsafe(24)
    serve(
        settings.state_dir,
        lambda: Published.read(objects()),
        ShownRules(settings.state_dir),
        lambda: Seen.read(objects()),
        port=settings.console_port if port is None else port,
        announce=lambda url: say(f"Console: {url if given else with_token(url, token)}"),
        token=token,
        hosts=settings.console_hosts,
    )

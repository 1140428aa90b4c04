"""`biokeel console`: the operators' page."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `console`."""
    app.command()(console)


def console(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")] = None,
) -> None:
    """Serve the operators' page: the way of an event with live numbers, lag, rejects, and the books."""
    from biokeel.console.books import Bookkeeper
    from biokeel.console.page import serve
    from biokeel.observe.logs import configure_logs
    from biokeel.settings import Settings

    settings = Settings.load()
    configure_logs(settings.log_level)
    serve(
        settings.state_dir,
        lambda: Bookkeeper.of(settings.state_dir),
        settings.console_port if port is None else port,
        lambda url: print(f"Console: {url}", flush=True),
    )

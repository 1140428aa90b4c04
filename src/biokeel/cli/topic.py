"""`biokeel topic`: look into a topic."""

from __future__ import annotations

from collections import deque
from typing import Annotated

import typer

from biokeel.cli.terminal import say

_NAMES = "Write raw.hospital-a.clinical.glucose or pseudo.clinical.glucose, for example."


def register(app: typer.Typer) -> None:
    """Add `topic cat`."""
    topic = typer.Typer(no_args_is_help=True, help="Look into a topic.")
    topic.command("cat")(cat)
    topic.callback()(lambda: None)  # so that `cat` stays a word of its own while it is the only command
    app.add_typer(topic, name="topic")


def cat(
    topic: Annotated[str, typer.Argument(help="raw.<source>.<domain>.<event> or pseudo.<domain>.<event>")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest events.")] = 10,
) -> None:
    """Print the newest events of a topic, one JSON line each, oldest first.

    A raw topic needs the vault zone's settings; of its events only fields are shown that say nothing of a person, and
    of person events none.
    """
    from biokeel.contracts.topics import RAW, Zone, event_of
    from biokeel.errors import SettingsError
    from biokeel.settings import OPERATOR, Settings

    try:
        event = event_of(topic)
    except KeyError:
        raise SettingsError(f"No topic is called {topic}.", _NAMES) from None
    raw = topic.startswith(RAW)
    if not raw and event.is_person:
        raise SettingsError(f"No topic is called {topic}: person events end in the vault.", _NAMES)
    settings = Settings.load(Zone.VAULT if raw else OPERATOR)

    import orjson

    from biokeel.console.topic import pseudo_events, raw_events
    from biokeel.contracts.registry import open_catalogue
    from biokeel.contracts.signatures import PublicKeys
    from biokeel.engine.kafka.newest import newest
    from biokeel.observe.reach import require_kafka

    require_kafka(settings)
    messages = newest(settings, topic, limit)
    events = (
        raw_events(
            topic,
            messages,
            open_catalogue(settings.schemas_dir, settings.schema_registry_url),
            settings.max_event_bytes,
        )
        if raw
        else pseudo_events(event, messages, PublicKeys.of_setting(settings.block_public_keys))
    )
    for line in deque(events, maxlen=limit):
        say(orjson.dumps(line, default=str).decode())

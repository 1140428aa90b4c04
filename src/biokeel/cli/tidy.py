"""`biokeel lake tidy`: one row of each event in the curated tables."""

from __future__ import annotations

from biokeel.cli.terminal import say


def tidy() -> None:
    """Keep the newest version of each event in the curated tables; move the others, and withdrawn ones, to history.

    What a source sent again, corrected or took back is found among the rows that landed since the last time. Safe
    while workers write; where the command ends early, the next one goes on.
    """
    import datetime as dt

    from biokeel.contracts.schema import load_schemas
    from biokeel.contracts.topics import Zone
    from biokeel.land.lake import Lake
    from biokeel.land.tidy import tidy as tidy_event
    from biokeel.observe.reach import require_store
    from biokeel.settings import Settings
    from biokeel.testing.crash import reached

    settings = Settings.load(Zone.RESEARCH)
    require_store(settings)
    lake, schemas = Lake.of(settings), load_schemas(settings.schemas_dir)
    for event in lake.events():
        moved = tidy_event(lake, schemas[event], dt.datetime.now(dt.UTC), reached=reached)
        say(
            f"{event}: {moved.superseded:,} superseded, {moved.repeated:,} repeated and {moved.withdrawn:,} withdrawn "
            "rows moved to history."
        )

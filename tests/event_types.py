"""The event types that the project ships, in the order in which they were locked."""

from biokeel.contracts.catalogue import landed_events, locked_events
from biokeel.settings import PROJECT_ROOT

EVENTS = locked_events(PROJECT_ROOT / "schemas")
LANDED_EVENTS = landed_events(PROJECT_ROOT / "schemas")

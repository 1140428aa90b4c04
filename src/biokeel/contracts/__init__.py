"""What an event is: schemas, their evolution, their wire format, their topics."""

"""The life of the rules: what they would do to events, before it counts."""

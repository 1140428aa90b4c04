"""Linking: each row learns its place in the person's history, from state that is local to one partition."""

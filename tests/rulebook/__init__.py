"""Tests of the book of rules."""

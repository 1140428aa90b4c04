"""Biokeel: the ingestion and data-quality backbone of a national bio-big-data programme."""

__version__ = "0.1.0"

"""Metrics, statistics, health and logs; never an identifier."""

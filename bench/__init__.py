"""The benchmark: how fast each stage is, how fast the whole is, and what it costs. `python -m bench --help`."""

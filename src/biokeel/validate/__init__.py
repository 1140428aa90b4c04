"""Great Expectations suites, compiled to polars expressions where they judge rows."""

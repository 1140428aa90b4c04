"""Delta tables on S3-compatible storage, each event in them exactly once."""

"""The local stack: real Kafka and S3-compatible storage without Docker. See `biokeel.stack.stack.Stack`."""

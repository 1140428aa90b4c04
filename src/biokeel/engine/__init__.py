"""The only place that knows Faust: two applications whose messages are micro-batches."""

"""The privacy wall: from raw batches to batches without a direct identifier."""

"""Kafka for the workers: fetching, unpacking, groups, producing, watermarks."""

"""What Kafka must have: topics, users and their rights."""

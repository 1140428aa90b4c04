"""Of every raw event, where it lies: balanced from Kafka, the vault and the tables."""

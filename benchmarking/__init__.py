"""Programs that compare, measure and time the schedulers and backends of this project."""

"""The job libraries that were compared, each with the same few commands: see `tests.bench.queue_comparison`."""

"""Metrics of the stream workers: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("signalbox_stream_records_total", "Input records processed, by topic and partition.", ["topic", "partition"])
SKIPPED = Counter("signalbox_stream_skipped_total", "Input records that had been processed before and came again, by topic.", ["topic"])
READ_AGAIN = Counter(
    "signalbox_stream_read_again_total", "Times that the records were fetched anew because a partition with input made no progress, by topic.", ["topic"]
)
OUTPUTS = Counter("signalbox_stream_outputs_total", "Records handed to the broker, by topic. `checkpoint` records are not among them.", ["topic"])
BAD_RECORDS = Counter("signalbox_stream_bad_records_total", "Input records that went to the dead letters, by topic.", ["topic"])
WAITS = Counter("signalbox_stream_waits_total", "Times that reading waited because the broker was behind with outputs or checkpoints.")

POSITION = Gauge("signalbox_stream_position", "Offset of the next input record, by topic and partition.", ["topic", "partition"])
LAG = Gauge("signalbox_stream_lag_records", "Input records not yet processed, by topic and partition.", ["topic", "partition"])
CHECKPOINT_OFFSET = Gauge(
    "signalbox_stream_checkpoint_offset", "Offset in the last checkpoint that the broker has, by topic and partition.", ["topic", "partition"]
)
GENERATION = Gauge("signalbox_stream_generation", "Generation of the consumer group as this worker knows it.")
ASSIGNED = Gauge("signalbox_stream_assigned_partitions", "Partitions of the input topic that this worker has.")

CHECKPOINTS = Counter("signalbox_stream_checkpoints_total", "Checkpoints acknowledged by the broker, by topic.", ["topic"])
CHECKPOINT_BYTES = Counter("signalbox_stream_checkpoint_bytes_total", "Bytes of state in them, before compression.", ["topic"])
CHECKPOINT_SECONDS = Histogram(
    "signalbox_stream_checkpoint_seconds",
    "Seconds from the snapshot to the acknowledged manifest.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
SNAPSHOT_SECONDS = Histogram(
    "signalbox_stream_snapshot_seconds", "Seconds in which a snapshot held up the loop.", buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
)
RESTORE_SECONDS = Gauge("signalbox_stream_restore_seconds", "Seconds that the last assignment took to restore.")
MANIFESTS_REJECTED = Counter("signalbox_stream_manifests_rejected_total", "Manifests that did not count at an assignment, by reason.", ["reason"])
STARTED_OVER = Counter("signalbox_stream_started_over_total", "Assignments at which checkpoints existed and none counted, by topic.", ["topic"])

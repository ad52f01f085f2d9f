"""Metrics of the prices gRPC service: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge, Histogram

TICKS_ACCEPTED = Counter("signalbox_prices_ingest_accepted_total", "Ticks acknowledged by the broker, by kind of source.", ["source_kind"])
TICKS_REJECTED = Counter("signalbox_prices_ingest_rejected_total", "Ticks not taken at the gRPC door, by reason.", ["reason"])
REJECTIONS_NOT_PUBLISHED = Counter(
    "signalbox_prices_ingest_rejected_not_published_total", "Ticks not taken that are not in the dead letters either: over the limit, or the broker was away."
)
INGEST_STREAMS = Gauge("signalbox_prices_ingest_streams", "Streams of ticks that are open now.")
BATCH_ROWS = Histogram("signalbox_prices_ingest_batch_rows", "Rows in each batch of ticks sent to Kafka.", buckets=(1, 4, 16, 64, 256, 1_024, 4_096, 16_384))
SOURCES_NOT_ENDED = Counter(
    "signalbox_prices_ingest_not_ended_total", "Sources whose end could not be told to all partitions; they hold bars back until they end."
)
BARS_KEPT = Gauge("signalbox_prices_bars_kept", "Final bars in memory, over all series.")
SERIES_KEPT = Gauge("signalbox_prices_series_kept", "Series (symbol, interval) in memory.")
BARS_REPEATED = Counter("signalbox_prices_bars_repeated_total", "Bars read again with an identity that was known, and dropped.")
UNREADABLE_RECORDS = Counter("signalbox_prices_unreadable_records_total", "Records that could not be used for a view, by topic.", ["topic"])

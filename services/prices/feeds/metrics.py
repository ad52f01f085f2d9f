"""Metrics of the feeds: name, type, unit and meaning, once. All but one are labelled with the source, for instance `replay:es`."""

from prometheus_client import Counter, Gauge

ROWS_SENT = Counter("signalbox_feed_rows_sent_total", "Ticks or bars handed to the Kafka client.", ["source"])
ROWS_ACKNOWLEDGED = Counter("signalbox_feed_rows_acknowledged_total", "Ticks or bars that the broker has acknowledged.", ["source"])
RECORDS_ACKNOWLEDGED = Counter("signalbox_feed_records_acknowledged_total", "Kafka records acknowledged, those without rows included.", ["source"])
RECORDS_FAILED = Counter(
    "signalbox_feed_records_failed_total", "Kafka records that were not acknowledged; the feed starts again from what is stored.", ["source"]
)
LAG = Gauge("signalbox_feed_lag_seconds", "How far the feed is behind its own schedule.", ["source"])
WATERMARK = Gauge("signalbox_feed_watermark_seconds", "Event time of the feed's last assertion, Unix seconds.", ["source"])
RESTARTS = Counter("signalbox_feed_restarts_total", "Times that a feed was started again after a failure.", ["source"])
BAD_ROWS = Counter("signalbox_feed_bad_rows_total", "Rows of a file that could not be used.", ["source"])
UP = Gauge("signalbox_feed_up", "1 while the feed runs, 0 while it waits to be started again or has ended.", ["source"])
UNREADABLE_RECORDS = Counter(
    "signalbox_feed_unreadable_records_total", "Records passed over while looking for where to go on, because they cannot be read, by topic.", ["topic"]
)

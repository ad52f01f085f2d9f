"""Metrics of the news gRPC service: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge, Histogram

ARTICLES_KEPT = Gauge("signalbox_news_articles_kept", "Revisions of articles in memory.")
ARTICLES_REPEATED = Counter("signalbox_news_articles_repeated_total", "Records of a revision that was known, and dropped.")
ARTICLES_FORGOTTEN = Counter("signalbox_news_articles_forgotten_total", "Revisions that had to go for newer ones, the oldest first.")
UNREADABLE_RECORDS = Counter("signalbox_news_unreadable_records_total", "Records that could not be used for a view, by topic.", ["topic"])
SEARCH_SECONDS = Histogram(
    "signalbox_news_search_seconds",
    "Seconds that a search of the index took, with the commit before it if there was one.",
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0),
)

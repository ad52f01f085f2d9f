"""Metrics of the crawl: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter("signalbox_news_feed_attempts_total", "Attempts to read a feed, by feed and result (read, unchanged, failed).", ["feed", "result"])
REFUSED = Counter("signalbox_news_refused_total", "Answers and items that were not taken, by reason.", ["reason"])
MARKED = Counter("signalbox_news_marked_total", "Items taken without something, by what is missing (no-link, no-date).", ["mark"])
ITEMS = Counter("signalbox_news_items_total", "Items found in feeds, known ones included.")
ARTICLES = Counter("signalbox_news_articles_total", "Articles published, by kind (new, revised).", ["kind"])
REENCODED = Counter("signalbox_news_reencoded_total", "Answers whose encoding was not the declared one.")
FETCH_SECONDS = Histogram(
    "signalbox_news_fetch_seconds", "Seconds from asking for a feed to its answer or failure.", buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
)
FAILING = Gauge("signalbox_news_feeds_failing", "Feeds whose last attempt failed.")
KNOWN = Gauge("signalbox_news_known_articles", "Articles that are remembered, to tell new from known.")
BAD_RECORDS = Counter("signalbox_news_bad_records_total", "Records of our topics that could not be read at the start, by topic.", ["topic"])

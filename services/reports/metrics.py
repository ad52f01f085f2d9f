"""Metrics of reports: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge

RESULTS_INDEXED = Gauge("signalbox_reports_results_indexed", "Finished jobs that can be found in the archive of results by their id.")
RESULTS_FORGOTTEN = Counter("signalbox_reports_results_forgotten_total", "Finished jobs that left the index because it was full; the topic still has them.")
RESULTS_READ = Counter("signalbox_reports_results_read_total", "Questions to the archive of results, by outcome (found, unknown, failed).", ["outcome"])
CACHE_KEYS_REMOVED = Counter("signalbox_reports_cache_keys_removed_total", "Keys of caches removed by cache.clean, by cache.", ["cache"])

"""Metrics of analysis: name, type, unit and meaning, once. The worker and the gRPC service each show those that they move."""

from prometheus_client import Counter, Gauge, Histogram

BARS_TAKEN = Counter("signalbox_analysis_bars_total", "Final bars taken into the engine by the stream worker, by interval in seconds.", ["interval"])
BARS_REPEATED = Counter("signalbox_analysis_bars_repeated_total", "Bars left out by the stream worker: they did not open after the last one of their series.")
VALUES = Counter("signalbox_analysis_values_total", "Indicator values written by the stream worker, those that are NaN while warming up included.")
SIGNALS = Counter("signalbox_analysis_signals_total", "Signals written by the stream worker, by type.", ["type"])
SERIES = Gauge("signalbox_analysis_series", "Series (symbol, interval) in the stream worker's engines, by partition.", ["partition"])
PROCESS_SECONDS = Histogram(
    "signalbox_analysis_record_seconds",
    "Seconds that the stream worker takes for one record of bars.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1),
)

ANALYSES = Counter("signalbox_analysis_answers_total", "Analyses answered by the gRPC service, by where they came from (engine, cache).", ["source"])
COMPUTE_SECONDS = Histogram(
    "signalbox_analysis_compute_seconds",
    "Seconds for the engine's pass over the bars of one analysis, and for making its answer.",
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
LOAD_SECONDS = Histogram(
    "signalbox_analysis_load_seconds",
    "Seconds to get the bars of one analysis from the prices service.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5),
)

"""The page about the installation, from its processes' metrics as they were recorded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.reports.daily.model import CounterRow, LatencyRow, System
from services.reports.daily.recorded import MetricSample, SystemRecord

#: Histograms of seconds: family -> in words.
LATENCIES: Mapping[str, str] = {
    "signalbox_hub_delivery_seconds": "Tick's arrival to the hub's update",
    "signalbox_hub_flush_seconds": "Sending what all clients are owed",
    "signalbox_analysis_record_seconds": "Analysis of one record of bars",
    "signalbox_analysis_compute_seconds": "Engine's pass for one question",
    "signalbox_analysis_load_seconds": "Bars for one question",
    "signalbox_grpc_server_handling_seconds": "Unary calls answered by {process}",
}
#: Counters of what should be few.
FAILURES: Mapping[str, str] = {
    "signalbox_unexpected_errors_total": "Unexpected errors",
    "signalbox_dead_letters_total": "Records sent to the dead letters",
    "signalbox_stream_bad_records_total": "Input records that could not be used",
    "signalbox_hub_bad_records_total": "Records that the hub could not read",
    "signalbox_prices_unreadable_records_total": "Records that a view could not read",
    "signalbox_kafka_produce_errors_total": "Records that the broker did not take",
    "signalbox_kafka_read_errors_total": "Errors while reading from the broker",
    "signalbox_hub_dropped_total": "Messages left out for slow clients",
    "signalbox_bars_late_total": "Ticks that came too late",
    "signalbox_prices_ingest_rejected_total": "Ticks refused at the door",
}
#: Counters of what went through.
THROUGHPUT: Mapping[str, str] = {
    "signalbox_bars_ticks_total": "Ticks read",
    "signalbox_bars_final_total": "Final bars made",
    "signalbox_analysis_bars_total": "Bars analysed",
    "signalbox_analysis_values_total": "Indicator values",
    "signalbox_analysis_signals_total": "Signals",
    "signalbox_hub_messages_total": "Messages to clients",
}
_BUCKET = "_bucket"


def is_recorded(sample: str) -> bool:
    """Whether a sample of this name is kept in the input."""
    return sample in FAILURES or sample in THROUGHPUT or sample.removesuffix(_BUCKET) in LATENCIES


def system(record: SystemRecord) -> System:
    """The page."""
    return System(
        version=record.version,
        measured_ns=record.measured_ns,
        ticks_per_second=record.ticks_per_second,
        messages_per_second=record.messages_per_second,
        subscribers=record.subscribers,
        ticks_lag=record.ticks_lag,
        bars_lag=record.bars_lag,
        processes=record.processes,
        latencies=_latencies(record.metrics),
        failures=_counters(record.metrics, FAILURES),
        throughput=_counters(record.metrics, THROUGHPUT),
    )


def _counters(samples: Sequence[MetricSample], words: Mapping[str, str]) -> tuple[CounterRow, ...]:
    totals: dict[tuple[str, str], float] = defaultdict(float)
    for sample in samples:
        if sample.name in words:
            totals[words[sample.name], sample.process] += sample.value
    rows = [CounterRow(name, process, value) for (name, process), value in totals.items() if value]
    return tuple(sorted(rows, key=lambda row: (-row.value, row.name, row.process)))


def _latencies(samples: Sequence[MetricSample]) -> tuple[LatencyRow, ...]:
    found: dict[tuple[str, str], dict[float, float]] = {}
    for sample in samples:
        family = sample.name.removesuffix(_BUCKET)
        if family in LATENCIES and sample.name.endswith(_BUCKET):
            buckets = found.setdefault((family, sample.process), defaultdict(float))
            buckets[float(dict(sample.labels)["le"])] += sample.value
    order = list(LATENCIES)
    keys = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    return tuple(row for key in keys if (row := _latency(LATENCIES[key[0]].format(process=key[1]), found[key])).count)


def _latency(name: str, buckets: Mapping[float, float]) -> LatencyRow:
    bounds = sorted(buckets)
    count = buckets[bounds[-1]]
    return LatencyRow(name, int(count), *(_quantile(bounds, buckets, share) for share in (0.5, 0.95, 0.99)))


def _quantile(bounds: Sequence[float], buckets: Mapping[float, float], share: float) -> float | None:
    """Milliseconds, as Prometheus' histogram_quantile; what lies above the last bound is given as that bound."""
    wanted = share * buckets[bounds[-1]]
    below = low = 0.0
    for bound in bounds:
        if buckets[bound] >= wanted and buckets[bound] > below:
            high = bound if bound != float("inf") else low
            return 1e3 * (low + (high - low) * (wanted - below) / (buckets[bound] - below))
        below, low = buckets[bound], bound
    return None

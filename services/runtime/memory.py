"""Memory as a metric: what only this process uses, and what the machine has left."""

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Gauge


def register_memory_metrics(registry: CollectorRegistry = REGISTRY) -> None:
    """Adds the gauges. They are read at each scrape (about 2 ms, reading /proc/self/smaps_rollup)."""
    process = psutil.Process()
    unique = Gauge("signalbox_process_unique_memory_bytes", "Memory that would be free again if this process ended.", registry=registry)
    unique.set_function(lambda: float(process.memory_full_info().uss))
    available = Gauge("signalbox_machine_memory_available_bytes", "Memory that can be given to processes without swapping.", registry=registry)
    available.set_function(lambda: float(psutil.virtual_memory().available))

"""Metrics of the schedule: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge

RUNS = Counter("signalbox_schedule_runs_total", "Records of runs written, by schedule and state.", ["schedule", "state"])
POSTPONED = Counter("signalbox_schedule_postponed_total", "Attempts to start a run that the queue did not take; it is tried again.", ["schedule"])
RUN_SECONDS = Gauge("signalbox_schedule_run_seconds", "Seconds from start to end of the last ended run, by schedule.", ["schedule"])
PEAK_BYTES = Gauge("signalbox_schedule_peak_memory_bytes", "Most resident memory of the last ended run, bytes, by schedule.", ["schedule"])
PLANNED_TIME = Gauge("signalbox_schedule_planned_time_seconds", "Planned time of the last ended run, Unix seconds, by schedule.", ["schedule"])
KEPT_BYTES = Gauge("signalbox_schedule_kept_memory_bytes", "Resident memory that the last ended run left in use, bytes, by schedule.", ["schedule"])
FAILURES_IN_A_ROW = Gauge("signalbox_schedule_failures_in_a_row", "Failures since the last success, by schedule.", ["schedule"])
IS_ACTIVE = Gauge("signalbox_schedule_is_active", "1 while this scheduler is the active one.")
GENERATION = Gauge("signalbox_schedule_generation", "Generation of the group in which this scheduler became the active one.")

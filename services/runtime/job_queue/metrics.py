"""Metrics of workers of jobs: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge, Histogram

#: From a trivial job to an hour's collection.
_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
_BYTES = tuple(float(mib << 20) for mib in (16, 64, 128, 256, 512, 1024, 2048, 4096))

WAITING = Gauge("signalbox_jobs_waiting", "Jobs that wait for their first attempt, by kind and priority, as the worker last saw it.", ["kind", "priority"])
RUNNING = Gauge("signalbox_jobs_running", "Jobs that this worker runs now, by kind.", ["kind"])
ATTEMPTS = Counter("signalbox_jobs_attempts_total", "Attempts begun by this worker, by kind.", ["kind"])
ENDED = Counter("signalbox_jobs_ended_total", "Jobs that this worker has ended, by kind and state.", ["kind", "state"])
RETRIED = Counter("signalbox_jobs_retried_total", "Attempts that failed and will be followed by another, by kind.", ["kind"])
HANDED_BACK = Counter("signalbox_jobs_handed_back_total", "Attempts that were given back to the queue because the worker had to end, by kind.", ["kind"])
LOST_WORKERS = Counter("signalbox_jobs_lost_attempts_total", "Attempts found without a living worker and taken over by this one, by kind.", ["kind"])
FENCED = Counter("signalbox_jobs_fenced_total", "Attempts whose outcome did not count, as another worker had taken the job over, by kind.", ["kind"])
LIMITS = Counter("signalbox_jobs_limit_exceeded_total", "Attempts ended because of a limit, by kind and limit (memory, time, deadline).", ["kind", "limit"])
REFUSED = Counter("signalbox_jobs_refused_total", "Jobs that were not accepted because too many of their kind waited, by kind.", ["kind"])
CREATED = Counter("signalbox_jobs_created_total", "Jobs accepted by this process, by kind.", ["kind"])
UNWANTED = Counter("signalbox_jobs_unwanted_deliveries_total", "Deliveries of jobs that had ended already or had never been accepted.")
SECONDS = Histogram("signalbox_jobs_attempt_seconds", "Seconds of an attempt, by kind.", ["kind"], buckets=_SECONDS)
START_DELAY = Histogram("signalbox_jobs_start_delay_seconds", "Seconds from a job's creation to its first attempt, by kind.", ["kind"], buckets=_SECONDS)
PEAK_MEMORY = Histogram("signalbox_jobs_peak_memory_bytes", "Most memory of a job's successful attempt, by kind.", ["kind"], buckets=_BYTES)
STORE_ERRORS = Counter("signalbox_jobs_store_errors_total", "Times that the queue's store did not answer this worker, by what was wanted.", ["what"])

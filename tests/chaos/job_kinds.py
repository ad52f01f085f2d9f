"""The kind of job that the storm is made of; the reports service knows it by SIGNALBOX_JOB_KINDS_MODULE."""

from google.protobuf.struct_pb2 import Struct

from services.runtime.jobs import JobKind
from services.runtime.retries import RetryPolicy

STORM = JobKind(
    "storm.step", "storm", Struct, Struct, "Writes when it starts and when it ends.", retry=RetryPolicy(attempts=3, first_s=0.1, cap_s=0.5), max_waiting=1_000
)
JOB_KINDS = [STORM]

"""A job's attempt is a span below that of whoever created the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.job_queue import open_job_queue
from services.runtime.jobs import NewJob
from services.runtime.kafka_admin import ensure_topics
from services.runtime.testing import eventually
from services.runtime.topics import JOBS, RESULTS
from tests.integration.job_kinds_of_tests import KINDS, request
from tests.integration.job_worker_process import start_worker
from tests.otlp_receiver import ReceivedSpan, otlp_receiver

_TRACE, _SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("kind", ["test.light", "test.heavy"])
async def test_an_attempt_is_a_child_of_the_creators_span(kafka: str, valkey: str, tmp_path: Path, kind: str) -> None:
    ensure_topics(kafka, 1, (JOBS, RESULTS))
    with otlp_receiver() as (receiver, endpoint):
        worker = start_worker(kafka, valkey, tmp_path / "worker.log", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
        try:
            async with open_job_queue(valkey, kinds=KINDS) as queue:
                job = await queue.create(NewJob(kind, request(fail="unavailable", until=2), traceparent=f"00-{_TRACE}-{_SPAN}-01"))
                assert (await queue.wait(job.id, 40.0)).attempt == 2

            def spans() -> list[ReceivedSpan]:
                found = [span for span in receiver.spans() if span.attributes.get("signalbox.job.id") == job.id]
                assert len(found) == 2
                return found

            first, second = await eventually(spans)
            assert {first.name, second.name} == {f"run {kind}"}
            assert {(span.trace_id, span.parent_id) for span in (first, second)} == {(_TRACE, _SPAN)}
            assert {span.attributes["signalbox.job.attempt"] for span in (first, second)} == {1, 2}
        finally:
            worker.kill()

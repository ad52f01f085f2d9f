"""A broker that is killed and comes back under a working stream worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.broker import EmbeddedBroker
from tests.integration.stream_driver import Bench
from tests.processes import wait_until
from tests.servers import new_broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker of this test's own."""
    with new_broker(tmp_path / "home") as broker:
        yield broker


def test_broker_killed_and_restarted(broker: EmbeddedBroker, tmp_path: Path) -> None:
    bench = Bench(broker.bootstrap, tmp_path, seed=1)
    try:
        worker = bench.start()
        with bench.load():
            wait_until(lambda: bench.output_count() > 200, "the worker works")
            broker.kill()
            broker.start()
            done = bench.output_count()
            if worker.process.poll() is not None:
                worker = bench.start()  # as a supervisor does; the worker may end when a commit fails
            wait_until(lambda: worker.process.poll() is not None or bench.output_count() > done + 200, "the worker works again")
        if worker.process.poll() is not None:
            bench.start()
        bench.wait_complete()
    finally:
        bench.stop_all()
        print(worker.log[-10000:])

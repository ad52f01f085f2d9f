"""A worker that is alive and does nothing while there is input: its liveness must fail, so that whoever watches it starts it anew."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.chain import ANALYSIS, KINDS, PRICES, Chain, now, seed_of
from tests.processes import Process

STALL = {"SIGNALBOX_STALL_SECONDS": "3"}


def test_stalled_workers_fail_their_liveness(tmp_path: Path) -> None:
    pause, block = tmp_path / "pause", tmp_path / "block"
    with Chain(tmp_path, seed_of(), env=STALL) as chain:
        silent = chain.start(PRICES, wrapped=True, CHAOS_PAUSE=str(pause))
        stuck = chain.start(ANALYSIS, wrapped=True, CHAOS_BLOCK=str(block))
        for kind in KINDS:
            chain.recovery(kind, chain.started)
        assert [worker.ask("/healthz")[0] for worker in (silent, stuck)] == [200, 200]
        # The analysis worker is blocked while it has input, which is as long as the other one works.
        block.touch()
        _wait_for_503(chain, stuck, "the event loop has not turned")
        block.unlink()
        chain.wait_for(lambda: stuck.ask("/healthz")[0] == 200, "it is alive again")
        pause.touch()
        _wait_for_503(chain, silent, "no progress")
        assert silent.ask("/readyz")[0] != 0, "it still answers"
        since = now()
        silent.kill()
        chain.observer.watch(since)
        chain.start(PRICES)
        chain.recovery(PRICES, since)
        chain.settle()


def _wait_for_503(chain: Chain, worker: Process, reason: str) -> None:
    def failed() -> bool:
        status, body = worker.ask("/healthz")
        return status == 503 and reason in body

    chain.wait_for(failed, f"/healthz says: {reason}")
    assert worker.running

"""What can go wrong, each done to a running chain; returns the seconds until every partition concerned had new rows again.

Afterwards the chain is as before: one replica of each worker, all of it running.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from services.runtime.kafka import make_producer
from services.runtime.topics import JOBS
from tests.chaos.chain import KINDS, Chain, Kind, now
from tests.chaos.ledger import Manifests
from tests.chaos.slow_disk import SlowDisk, seconds_of_acknowledgement
from tests.chaos.wrapped import STEPS
from tests.processes import Process, wait_until

#: Runs with it take tens of seconds; waits for the group's decisions are longer than for a start.
_GROUP_SECONDS = 90.0
#: How long the disk is slow.
_SLOW_SECONDS = 5.0

Fault = Callable[[Chain, Random], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault and how long it lasted."""

    fault: str
    seconds: float


def kill(kind: Kind) -> Fault:
    """SIGKILL at any moment, and a new process at once."""

    def act(chain: Chain, rng: Random) -> float:
        _pause(chain, rng)
        since = _end(chain, kind, chain.worker(kind).kill)
        chain.start(kind)
        return chain.recovery(kind, since)

    return act


def kill_in_checkpoint(kind: Kind, step: str) -> Fault:
    """SIGKILL after a step of a checkpoint, before the next step. The seconds are those from that kill."""

    def act(chain: Chain, rng: Random) -> float:
        chain.worker(kind).kill()
        doomed = chain.start(kind, wrapped=True, CHAOS_KILL=f"{step}:{rng.randrange(1, 13)}")
        wait_until(lambda: not doomed.running, f"{kind.name} kills itself", _GROUP_SECONDS)
        since = now()
        assert doomed.process.returncode == -signal.SIGKILL, f"ended with {doomed.process.returncode}: {doomed.log[-2000:]}"
        chain.observer.watch(since)
        chain.start(kind)
        return chain.recovery(kind, since)

    return act


def stop_past_session(kind: Kind) -> Fault:
    """SIGSTOP until the group has given everything to a second replica, then SIGCONT; the seconds until that one had it, from SIGSTOP."""

    def act(chain: Chain, rng: Random) -> float:
        first = chain.worker(kind)
        since = now()
        first.signal(signal.SIGSTOP)
        chain.observer.watch(since)
        second = chain.start(kind, 1)
        seconds = chain.recovery(kind, since)
        generation = second.metric("signalbox_stream_generation")
        first.signal(signal.SIGCONT)
        chain.wait_for(lambda: not first.running or first.metric("signalbox_stream_generation") > generation, "the woken worker has noticed")
        _retire(chain, kind, second)
        return seconds

    return act


def second_replica(kind: Kind, *, by_kill: bool) -> Fault:
    """A second replica joins, takes half of the partitions, and goes, by SIGTERM or SIGKILL; the seconds from its going."""

    def act(chain: Chain, rng: Random) -> float:
        second = chain.start(kind, 1)
        chain.wait_for(lambda: _assigned(second) == _assigned(chain.worker(kind)) == chain.partitions // 2, "the partitions are shared")
        _pause(chain, rng)
        return _retire(chain, kind, second, by_kill=by_kill)

    return act


def kill_broker(chain: Chain, rng: Random) -> float:
    """SIGKILL to the broker, and a new one on the same data. The seconds are those from when it answers again, for both workers."""
    _pause(chain, rng)
    chain.broker.kill()
    return _broker_is_back(chain)


def kill_broker_and_workers(chain: Chain, rng: Random) -> float:
    """As when the machine's power fails, except that the page cache survives. The workers are started with the broker."""
    _pause(chain, rng)
    chain.broker.kill()
    for kind in KINDS:
        chain.worker(kind).kill()
        chain.start(kind)
    return _broker_is_back(chain)


def _broker_is_back(chain: Chain) -> float:
    chain.broker.start()
    since = now()
    chain.observer.watch(since)
    return max(chain.recovery(kind, since) for kind in KINDS)


def slow_disk(chain: Chain, rng: Random) -> float:
    """The broker answers a few times a second for some seconds. The seconds are those from the end of it."""
    before = seconds_of_acknowledgement(chain.broker.bootstrap, JOBS.name, 1.0)
    with SlowDisk(chain.broker.pid):
        slow = seconds_of_acknowledgement(chain.broker.bootstrap, JOBS.name, _SLOW_SECONDS)
        assert slow > 5 * before, f"an acknowledgement took {slow * 1000:.1f} ms, before {before * 1000:.1f} ms"
    since = now()
    chain.observer.watch(since)
    return max(chain.recovery(kind, since) for kind in KINDS)


def kill_store(chain: Chain, rng: Random) -> float:
    """Valkey is emptied, killed and started empty. Neither worker keeps anything there."""
    import redis

    since = now()
    with redis.Redis.from_url(chain.valkey.url) as client:
        client.flushall()
    chain.valkey.stop()
    chain.observer.watch(since)
    seconds = max(chain.recovery(kind, since) for kind in KINDS)
    chain.valkey.start()
    return seconds


def corrupt_manifest(kind: Kind) -> Fault:
    """SIGKILL, then the newest manifest of each partition is spoilt: garbage, or the checksum of another state."""

    def act(chain: Chain, rng: Random) -> float:
        _await_manifests(chain, kind)
        since = _end(chain, kind, chain.worker(kind).kill)
        log = len(chain.worker(kind).log)
        _spoil(chain, kind)
        worker = chain.start(kind)
        seconds = chain.recovery(kind, since)
        assert "manifest does not count" in worker.log[log:], "no manifest was refused"
        assert "no checkpoint counts" not in worker.log[log:], "an older manifest should have been used"
        return seconds

    return act


def rolling_restart(chain: Chain, rng: Random) -> float:
    """SIGTERM to one worker after the other, each started again once it has ended; the longer of the two."""
    seconds = []
    for kind in KINDS:
        since = now()
        assert chain.worker(kind).terminate() == 0, chain.worker(kind).log[-3000:]
        chain.observer.watch(since)
        chain.start(kind)
        seconds.append(chain.recovery(kind, since))
    return max(seconds)


def all_faults() -> dict[str, Fault]:
    """Every fault by its name in the table."""
    faults: dict[str, Fault] = {}
    for kind in KINDS:
        name = f"{kind.name}-worker"
        faults[f"kill -9 {name}"] = kill(kind)
        faults |= {f"kill -9 {name} after checkpoint step: {step}": kill_in_checkpoint(kind, step) for step in STEPS}
        faults[f"SIGSTOP {name} past its session, SIGCONT"] = stop_past_session(kind)
        faults[f"second {name} joins, leaves by SIGTERM"] = second_replica(kind, by_kill=False)
        faults[f"second {name} joins, leaves by kill -9"] = second_replica(kind, by_kill=True)
        faults[f"newest manifests of {name} spoilt"] = corrupt_manifest(kind)
    faults["kill -9 broker, restart (from its return)"] = kill_broker
    faults["kill -9 broker and both workers (from its return)"] = kill_broker_and_workers
    faults["broker's disk slow (from its end)"] = slow_disk
    faults["Valkey flushed and stopped"] = kill_store
    faults["SIGTERM rolling restart"] = rolling_restart
    return faults


def _end(chain: Chain, kind: Kind, how: Callable[[], object]) -> float:
    """Ends a worker and begins to watch for new rows. Returns the moment before."""
    since = now()
    how()
    chain.observer.watch(since)
    return since


def _pause(chain: Chain, rng: Random) -> None:
    """Any moment: within a checkpoint's interval."""
    end = now() + rng.uniform(0, 1.2)
    chain.wait_for(lambda: now() >= end, "a random moment")


def _assigned(worker: Process) -> float:
    return worker.metric("signalbox_stream_assigned_partitions")


def _retire(chain: Chain, kind: Kind, second: Process, *, by_kill: bool = False) -> float:
    """Ends the second replica and waits until the first has everything. Returns the seconds that took."""
    since = _end(chain, kind, second.kill if by_kill else second.terminate)
    seconds = chain.recovery(kind, since)
    chain.wait_for(lambda: _assigned(chain.worker(kind)) == chain.partitions, "the first replica has all partitions")
    return seconds


def _await_manifests(chain: Chain, kind: Kind) -> None:
    """Returns when each partition has a manifest to spoil and one before it; a worker that has just begun has none."""
    manifests = Manifests(chain.broker.bootstrap, kind.checkpoints, chain.partitions)

    def written() -> bool:
        manifests.read()
        return min(manifests.written.values()) >= 2

    chain.wait_for(written, "two manifests of each partition")
    manifests.close()


def _spoil(chain: Chain, kind: Kind) -> None:
    manifests = Manifests(chain.broker.bootstrap, kind.checkpoints, chain.partitions)
    manifests.read()
    manifests.close()
    producer = make_producer(chain.broker.bootstrap)
    for partition, (key, manifest) in manifests.newest.items():
        manifest.sha256 = bytes(32)
        value = b"\xff\xff" if partition % 2 else manifest.SerializeToString()
        producer.produce(kind.checkpoints.name, value, key=key, partition=partition)
    assert producer.flush(30) == 0

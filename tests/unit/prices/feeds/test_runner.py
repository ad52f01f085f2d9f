"""Feeds side by side: one that fails does not touch the others, and is started again."""

import asyncio

from services.prices.feeds.outbox import Outbox
from services.prices.feeds.ports import NS
from services.prices.feeds.runner import SILENCE_LIMIT_S, FeedRunner, FeedState, Phase
from services.runtime.testing.clock import ManualClock
from services.runtime.testing.kafka import MemoryPublisher
from services.runtime.testing.waiting import eventually


class _Failing:
    """Fails so many times, then runs until it is stopped."""

    source = "replay:failing"

    def __init__(self, name: str, failures: int) -> None:
        self.name, self._left, self.lives = name, failures, 0

    async def __call__(self, state: FeedState, stopping: asyncio.Event) -> None:
        self.lives += 1
        if self._left:
            self._left -= 1
            raise ConnectionError("the venue hung up")
        state.running(Outbox(MemoryPublisher(), state.clock, self.source))
        await stopping.wait()


def _longest(_low: float, high: float) -> float:
    return high


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_failed_feed_starts_again_with_growing_pauses_and_the_other_goes_on() -> None:
    clock, stopping = ManualClock(), asyncio.Event()
    bad, good = _Failing("bad", 3), _Failing("good", 0)
    states = FeedState("bad", clock), FeedState("good", clock)
    task = asyncio.ensure_future(FeedRunner(clock, _longest).run([(bad, states[0]), (good, states[1])], stopping))
    lives = []
    for pause in (0.0, 0.5, 1.0, 2.0):
        clock.advance(pause)
        await _settle()
        lives.append(bad.lives)
    assert lives == [1, 2, 3, 4]
    assert good.lives == 1
    assert states[0].phase is Phase.RUNNING
    stopping.set()
    await asyncio.wait_for(task, 5)
    assert {state.phase for state in states} == {Phase.ENDED}


async def test_a_failed_feed_is_not_ready_and_says_why() -> None:
    clock, stopping = ManualClock(), asyncio.Event()
    state = FeedState("bad", clock)
    task = asyncio.ensure_future(FeedRunner(clock, _longest).run([(_Failing("bad", 9), state)], stopping))
    await eventually(lambda: state.phase is Phase.FAILED)
    assert state.check_ready() == "failed: ConnectionError: the venue hung up"
    stopping.set()
    await asyncio.wait_for(task, 5)


async def test_ready_means_that_the_broker_has_acknowledged_something_lately() -> None:
    clock, publisher = ManualClock(), MemoryPublisher()
    state, outbox = FeedState("feed", clock), Outbox(publisher, clock, "replay:x")
    assert state.check_ready() == "starting: has not sent anything yet"
    state.running(outbox)
    assert state.check_ready() == "starting: no record acknowledged yet"
    await outbox.send("topic", 0, b"", [], 1)
    await outbox.flush()
    assert state.check_ready() is None
    clock.advance(SILENCE_LIMIT_S + 1)
    assert state.check_ready() == f"no record acknowledged for {SILENCE_LIMIT_S + 1:.0f} s"
    assert outbox.acknowledged_ns is not None
    assert clock.monotonic_ns() - outbox.acknowledged_ns == (SILENCE_LIMIT_S + 1) * NS

"""Feed `synthetic`: TEST.XSIM, one tick each second of the wall clock, computed from the second's number alone."""

from collections.abc import AsyncGenerator
from math import pi, sin

import numpy as np
from signalbox.events.v1 import tick_batch_pb2

from services.prices.feeds.pacing import HEARTBEAT_S
from services.prices.feeds.ports import NS, Step, Stored, TickRows, one_symbol
from services.runtime.clock import Clock

SYMBOL = "TEST.XSIM"

#: Periods in seconds and amplitudes in cents: a slow swing, one that crosses averages every few minutes, one that makes candles.
_WAVES = ((86_400, 900.0), (1_260, 320.0), (177, 90.0), (23, 17.0))
_LEVEL_CENTS = 10_000
#: Knuth's multiplicative hash: spreads neighbouring seconds over all sizes.
_HASH = 2_654_435_761
_MAX_SIZE = 100


def price_at(second: int) -> int:
    """Price in cents of a second since 1970."""
    return round(_LEVEL_CENTS + sum(amplitude * sin(2 * pi * (second % period) / period) for period, amplitude in _WAVES))


def size_at(second: int) -> int:
    """Size of a second since 1970, 1 to 100."""
    return (second * _HASH % 2**32 >> 16) % _MAX_SIZE + 1


def tick_at(second: int) -> TickRows:
    """The tick of a second since 1970; its seq is that number."""
    ts, price, size, seq = (np.array([value], np.int64) for value in (second * NS, price_at(second), size_at(second), second))
    return one_symbol(SYMBOL, ts, price, size, seq)


class Synthetic:
    """A tick for each second that passes; seconds in which the feed did not run stay empty."""

    name = "synthetic"
    source = "synthetic:test"
    source_kind = tick_batch_pb2.SOURCE_KIND_SYNTHETIC
    symbol = SYMBOL

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def steps(self, stored: Stored) -> AsyncGenerator[Step, None]:
        """From the next whole second that is not stored, without end."""
        following = max(-(-stored.floor // NS), self._clock.now_ns() // NS + 1)
        while True:
            now = self._clock.now_ns()
            second = now // NS
            if second < following:
                yield Step(None, following * NS)
                await self._clock.sleep(min((following * NS - now) / NS, HEARTBEAT_S))
                continue
            # After a stall the seconds that were missed are not made up: nobody saw them.
            following = second + 1
            yield Step(tick_at(second), following * NS, urgent=True, lag_ns=now - second * NS)

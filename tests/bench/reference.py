"""The ordinary way to do the same job: a plain confluent-kafka loop with dictionaries, one JSON tick a record.

`python -m tests.bench.reference --bootstrap A --topic T --out O --records N --way json|orjson` reads N ticks from a backlog, makes
one-minute bars with EMA 12 and 26, MACD, RSI, Bollinger bands and ATR, writes one JSON record for each bar, and prints
{"seconds", "cpu_seconds", "peak_bytes", "bars"} as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer

MINUTE_NS = 60_000_000_000


class Ema:
    """Exponential average, seeded with the mean of `period` values from the `start`-th on."""

    def __init__(self, period: int, start: int = 0) -> None:
        self.period, self.start, self.count = period, start, 0
        self.total = 0.0
        self.value = math.nan

    def update(self, value: float) -> float:
        self.count += 1
        seen = self.count - self.start
        if seen <= 0:
            return math.nan
        if seen < self.period:
            self.total += value
        elif seen == self.period:
            self.value = (self.total + value) / self.period
        else:
            self.value += (value - self.value) * 2 / (self.period + 1)
        return self.value


class Wilder:
    """Wilder's average over `period` values."""

    def __init__(self, period: int) -> None:
        self.period, self.count, self.total = period, 0, 0.0
        self.value = math.nan

    def update(self, value: float) -> float:
        self.count += 1
        if self.count < self.period:
            self.total += value
        elif self.count == self.period:
            self.value = (self.total + value) / self.period
        else:
            self.value = (self.value * (self.period - 1) + value) / self.period
        return self.value


class Symbol:
    """What is known of one symbol."""

    def __init__(self) -> None:
        self.bar: dict[str, Any] | None = None
        self.ema_12, self.ema_26 = Ema(12), Ema(26)
        self.fast, self.slow, self.signal = Ema(12, 14), Ema(26), Ema(9)
        self.gain, self.loss, self.atr = Wilder(14), Wilder(14), Wilder(14)
        self.closes: deque[float] = deque(maxlen=20)
        self.previous: float | None = None

    def indicators(self, high: float, low: float, close: float) -> dict[str, float]:
        """Takes a final bar; returns its values."""
        values = {"ema_12": self.ema_12.update(close), "ema_26": self.ema_26.update(close)}
        line = self.fast.update(close) - self.slow.update(close)
        if not math.isnan(line):
            signal = self.signal.update(line)
            values |= {"macd_12_26_9": math.nan if math.isnan(signal) else line, "macd_12_26_9_signal": signal}
        if self.previous is not None:
            change = close - self.previous
            gain, loss = self.gain.update(max(change, 0.0)), self.loss.update(max(-change, 0.0))
            values["rsi_14"] = 100 * gain / (gain + loss) if gain + loss > 0 else (0.0 if gain == gain else math.nan)
            values["atr_14"] = self.atr.update(max(high - low, abs(high - self.previous), abs(low - self.previous)))
        self.previous = close
        self.closes.append(close)
        if len(self.closes) == 20:
            middle = sum(self.closes) / 20
            deviation = math.sqrt(sum((value - middle) ** 2 for value in self.closes) / 20)
            values |= {"bbands_20_2_upper": middle + 2 * deviation, "bbands_20_2_middle": middle, "bbands_20_2_lower": middle - 2 * deviation}
        return {name: value for name, value in values.items() if value == value}


class Job:
    """Ticks in, one record for each bar out."""

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self.symbols: dict[str, Symbol] = {}
        self.emit = emit
        self.bars = 0

    def tick(self, tick: dict[str, Any]) -> None:
        """Takes one tick; they are in order for each symbol."""
        state = self.symbols.get(tick["symbol"])
        if state is None:
            state = self.symbols[tick["symbol"]] = Symbol()
        price, size = tick["price"], tick["size"]
        ts_open = tick["ts"] // MINUTE_NS * MINUTE_NS
        bar = state.bar
        if bar is None or bar["ts_open"] != ts_open:
            if bar is not None:
                self.close(tick["symbol"], state)
            state.bar = {"ts_open": ts_open, "open": price, "high": price, "low": price, "close": price, "volume": size, "trades": 1}
            return
        bar["high"] = max(bar["high"], price)
        bar["low"] = min(bar["low"], price)
        bar["close"] = price
        bar["volume"] += size
        bar["trades"] += 1

    def close(self, symbol: str, state: Symbol) -> None:
        """The bar is final."""
        bar = state.bar
        assert bar is not None
        self.bars += 1
        self.emit({"symbol": symbol, **bar, "indicators": state.indicators(bar["high"], bar["low"], bar["close"])})

    def end(self) -> None:
        """No more ticks."""
        for symbol, state in self.symbols.items():
            self.close(symbol, state)


def by_poll(consumer: Consumer, records: int, job: Job) -> float:
    """One record at a time, with json. Returns when the first was there."""
    began = 0.0
    seen = 0
    while seen < records:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise SystemExit(message.error())
        began = began or time.perf_counter()
        job.tick(json.loads(message.value() or b""))
        seen += 1
    return began


def by_thousands(consumer: Consumer, records: int, job: Job) -> float:
    """Up to a thousand records at a time, with orjson. Returns when the first were there."""
    began = 0.0
    seen = 0
    while seen < records:
        messages = consumer.consume(1000, 1.0)
        if messages:
            began = began or time.perf_counter()
        for message in messages:
            if message.error():
                raise SystemExit(message.error())
            job.tick(orjson.loads(message.value() or b""))
        seen += len(messages)
    return began


def main() -> None:
    """Runs the job once."""
    parser = argparse.ArgumentParser()
    for name in ("--bootstrap", "--topic", "--out"):
        parser.add_argument(name, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--way", choices=("json", "orjson"), required=True)
    options = parser.parse_args()
    producer = Producer({"bootstrap.servers": options.bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": f"reference-{options.out}",
            "auto.offset.reset": "earliest",
            # The default of a second would be held against the reference; it is its best case that counts.
            "fetch.queue.backoff.ms": 10,
        }
    )
    dumps: Callable[[Any], bytes] = orjson.dumps if options.way == "orjson" else lambda value: json.dumps(value).encode()

    def emit(row: dict[str, Any]) -> None:
        producer.produce(options.out, dumps(row), row["symbol"].encode())
        producer.poll(0)

    job = Job(emit)
    consumer.subscribe([options.topic])
    began = (by_thousands if options.way == "orjson" else by_poll)(consumer, options.records, job)
    job.end()
    producer.flush()
    seconds = time.perf_counter() - began
    consumer.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024, "bars": job.bars}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()

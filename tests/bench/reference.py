"""The ordinary way to do the same job: a plain confluent-kafka loop with dictionaries, one JSON tick a record.

`python -m tests.bench.reference --bootstrap A --topic T --out O --records N --way json|orjson --outputs minutes|all` reads N ticks from a
backlog and writes one JSON record for each bar. `minutes`: one-minute bars with EMA 12 and 26, MACD, RSI, Bollinger bands and ATR. `all`: what
our workers write: bars of six intervals, on three of them all our indicators, and the signals. Prints
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


class RollingMean:
    """Mean of the last `period` values."""

    def __init__(self, period: int) -> None:
        self.period = period
        self.values: deque[float] = deque()
        self.total = 0.0

    def update(self, value: float) -> float:
        self.values.append(value)
        self.total += value
        if len(self.values) > self.period:
            self.total -= self.values.popleft()
        return self.total / self.period if len(self.values) == self.period else math.nan


class AllIndicators:
    """Every indicator that our workers write, and the crossings that are signals."""

    def __init__(self) -> None:
        self.common = Symbol()
        self.means = {f"sma_{period}": RollingMean(period) for period in (5, 20, 50, 60, 200, 300)}
        self.averages = {f"ema_{period}": Ema(period) for period in (9, 21, 50)}
        self.before: dict[str, float] = {}

    def indicators(self, high: float, low: float, close: float) -> dict[str, float]:
        """Takes a final bar; returns its values."""
        values = {name: mean.update(close) for name, mean in self.means.items()}
        values |= {name: average.update(close) for name, average in self.averages.items()}
        values |= self.common.indicators(high, low, close)
        if "macd_12_26_9" in values:
            values["macd_12_26_9_hist"] = values["macd_12_26_9"] - values["macd_12_26_9_signal"]
        return {name: value for name, value in values.items() if value == value}

    def signals(self, values: dict[str, float]) -> list[str]:
        """The types of signals at this bar."""
        before, self.before = self.before, values
        return [name for name, left, right, up in CROSSINGS if _crosses(before, values, left, right, up)]


#: Type, column, what it crosses, whether upwards.
CROSSINGS: tuple[tuple[str, str, str | float, bool], ...] = (
    ("golden_cross", "sma_50", "sma_200", True),
    ("death_cross", "sma_50", "sma_200", False),
    ("rsi_overbought", "rsi_14", 70.0, True),
    ("rsi_oversold", "rsi_14", 30.0, False),
    ("rsi_bullish", "rsi_14", 50.0, True),
    ("rsi_bearish", "rsi_14", 50.0, False),
    ("macd_cross_up", "macd_12_26_9", "macd_12_26_9_signal", True),
    ("macd_cross_down", "macd_12_26_9", "macd_12_26_9_signal", False),
    ("macd_zero_cross_up", "macd_12_26_9", 0.0, True),
    ("macd_zero_cross_down", "macd_12_26_9", 0.0, False),
)


def _crosses(before: dict[str, float], now: dict[str, float], left: str, right: str | float, up: bool) -> bool:
    if left not in before or left not in now:
        return False
    if isinstance(right, str):
        if right not in before or right not in now:
            return False
        was, limit = before[right], now[right]
    else:
        was = limit = right
    return before[left] <= was and now[left] > limit if up else before[left] >= was and now[left] < limit


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


class Series:
    """One symbol at one interval."""

    def __init__(self, analysed: bool) -> None:
        self.bar: dict[str, Any] | None = None
        self.engine = AllIndicators() if analysed else None


class WholeJob(Job):
    """What our workers write: six intervals, all indicators, signals."""

    INTERVALS = (1, 60, 300, 900, 3600, 86400)
    ANALYSED = (1, 60, 86400)

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(emit)
        self.series: dict[tuple[str, int], Series] = {}

    def tick(self, tick: dict[str, Any]) -> None:
        """Takes one tick; they are in order for each symbol."""
        symbol, price, size, ts = tick["symbol"], tick["price"], tick["size"], tick["ts"]
        for interval in self.INTERVALS:
            series = self.series.get((symbol, interval))
            if series is None:
                series = self.series[symbol, interval] = Series(interval in self.ANALYSED)
            length = interval * 1_000_000_000
            ts_open = ts // length * length
            bar = series.bar
            if bar is None or bar["ts_open"] != ts_open:
                if bar is not None:
                    self.finish(symbol, interval, series, bar)
                series.bar = {
                    "ts_open": ts_open,
                    "ts_close": ts_open + length,
                    "open": price,
                    "high": price,
                    "low": price,
                    "close": price,
                    "volume": size,
                    "notional": price * size,
                    "trades": 1,
                }
                continue
            bar["high"] = max(bar["high"], price)
            bar["low"] = min(bar["low"], price)
            bar["close"] = price
            bar["volume"] += size
            bar["notional"] += price * size
            bar["trades"] += 1

    def finish(self, symbol: str, interval: int, series: Series, bar: dict[str, Any]) -> None:
        """The bar is final."""
        self.bars += 1
        row = {"symbol": symbol, "interval": interval, **bar, "vwap": bar["notional"] / bar["volume"], "indicators": {}}
        if series.engine is not None:
            row["indicators"] = series.engine.indicators(bar["high"], bar["low"], bar["close"])
            for kind in series.engine.signals(row["indicators"]):
                self.emit({"signal": kind, "symbol": symbol, "interval": interval, "ts_open": bar["ts_open"], "price": bar["close"]})
        self.emit(row)

    def end(self) -> None:
        """No more ticks."""
        for (symbol, interval), series in self.series.items():
            if series.bar is not None:
                self.finish(symbol, interval, series, series.bar)


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
    parser.add_argument("--outputs", choices=("minutes", "all"), required=True)
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

    job = Job(emit) if options.outputs == "minutes" else WholeJob(emit)
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

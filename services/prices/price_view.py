"""The latest price of each symbol: its last trade or, where only daily bars are known, the close of the last one."""

from dataclasses import dataclass

from services.prices.bar_series import BarRows
from services.prices.bar_store import SESSION, BarStore
from services.prices.errors import NoPrice


@dataclass(frozen=True, slots=True)
class Trade:
    """The last trade of a symbol. Times are UTC ns, replay_shift is event time minus original time in ns."""

    symbol: str
    price: float
    size: float
    ts_event: int
    ts_recv: int
    source_kind: int
    replay_shift: int


@dataclass(frozen=True, slots=True)
class LatestPrice:
    """The latest price. Times are UTC ns. ts_recv: 0 when unknown. from_bar: the bar's interval in seconds, 0 for a trade."""

    symbol: str
    price: float
    size: float
    ts_event: int
    ts_recv: int
    source_kind: int
    replay_shift: int
    from_bar: int
    previous_close: float | None


class PriceView:
    """Latest prices. Trades come from a reader's thread; one dictionary entry is replaced at a time, so no lock is needed."""

    def __init__(self, bars: BarStore) -> None:
        self._bars = bars
        self._trades: dict[str, Trade] = {}
        self._latest: dict[str, tuple[Trade | None, int, LatestPrice]] = {}

    def put(self, trade: Trade) -> None:
        """Replaces the symbol's last trade: the topic is in order for each symbol."""
        self._trades[trade.symbol] = trade

    def remove(self, symbol: str) -> None:
        """Forgets a symbol's trade."""
        self._trades.pop(symbol, None)

    def latest(self, symbol: str) -> LatestPrice:
        """The latest price; the same object as long as nothing has changed. Raises NoPrice."""
        trade, version = self._trades.get(symbol), self._bars.sessions_version
        known = self._latest.get(symbol)
        if known is not None and known[0] is trade and known[1] == version:
            return known[2]
        price = self._computed(symbol, trade)
        self._latest[symbol] = (trade, version, price)
        return price

    def _computed(self, symbol: str, trade: Trade | None) -> LatestPrice:
        if trade is not None:
            sessions = self._bars.last_sessions(symbol, trade.ts_event, 1)
            return LatestPrice(symbol, trade.price, trade.size, trade.ts_event, trade.ts_recv, trade.source_kind, trade.replay_shift, 0, _close(sessions, -1))
        sessions = self._bars.last_sessions(symbol, None, 2)
        if not len(sessions):
            raise NoPrice(symbol)
        bar = sessions[-1]
        close = int(bar["close"]) / 10 ** int(bar["price_digits"])
        shift, kind = int(bar["replay_shift"]), int(bar["source_kind"])
        return LatestPrice(symbol, close, 0.0, int(bar["ts_close"]), 0, kind, shift, SESSION, _close(sessions, -2))


def _close(sessions: BarRows, at: int) -> float | None:
    if len(sessions) < -at:
        return None
    bar = sessions[at]
    return float(int(bar["close"]) / 10 ** int(bar["price_digits"]))

"""The latest price: a trade, or else the last daily close, with the close of the session before."""

import pytest

from services.prices.bar_store import SESSION, BarStore
from services.prices.errors import NoPrice
from services.prices.price_view import PriceView, Trade
from tests.unit.prices.bar_rows import bars

DAY = 86_400


def view(*closes: int) -> PriceView:
    """Sessions of one day each, from day 0."""
    store = BarStore(4, 1000)
    if closes:
        store.add(bars("AAPL.XNAS", SESSION, [day * DAY for day in range(len(closes))], close=closes), 0, 0)
    return PriceView(store)


def trade(seconds: int, price: float) -> Trade:
    return Trade("AAPL.XNAS", price, 3.0, seconds * 10**9, seconds * 10**9 + 1, 1, 0)


def test_nothing_seen_is_not_found() -> None:
    with pytest.raises(NoPrice, match=r"price not found: AAPL\.XNAS"):
        view().latest("AAPL.XNAS")


def test_a_symbol_with_daily_bars_only_has_its_last_close() -> None:
    price = view(9_900, 10_100).latest("AAPL.XNAS")
    assert (price.price, price.size, price.from_bar, price.previous_close) == (101.0, 0.0, SESSION, 99.0)
    assert (price.ts_event, price.ts_recv, price.source_kind) == (2 * DAY * 10**9, 0, 2)


def test_the_first_session_has_no_previous_close() -> None:
    assert view(9_900).latest("AAPL.XNAS").previous_close is None


def test_a_trade_comes_before_bars_and_is_compared_with_the_session_that_had_closed() -> None:
    prices = view(9_900, 10_100)
    prices.put(trade(DAY + 100, 100.5))
    price = prices.latest("AAPL.XNAS")
    assert (price.price, price.size, price.from_bar, price.previous_close) == (100.5, 3.0, 0, 99.0)
    prices.put(trade(2 * DAY, 102.0))
    assert prices.latest("AAPL.XNAS").previous_close == 101.0


def test_a_trade_without_sessions_has_no_previous_close() -> None:
    prices = view()
    prices.put(trade(5, 100.5))
    assert prices.latest("AAPL.XNAS").previous_close is None


def test_a_removed_trade_is_forgotten() -> None:
    prices = view()
    prices.put(trade(5, 100.5))
    prices.remove("AAPL.XNAS")
    with pytest.raises(NoPrice):
        prices.latest("AAPL.XNAS")


def test_the_price_is_the_same_object_until_a_trade_or_a_session_changes_it() -> None:
    store = BarStore(4, 1000)
    prices = PriceView(store)
    prices.put(trade(3 * DAY, 100.5))
    first = prices.latest("AAPL.XNAS")
    assert prices.latest("AAPL.XNAS") is first
    store.add(bars("AAPL.XNAS", SESSION, [0], close=(9_900,)), 0, 0)
    assert prices.latest("AAPL.XNAS").previous_close == 99.0
    prices.put(trade(3 * DAY + 1, 101.5))
    assert prices.latest("AAPL.XNAS").price == 101.5

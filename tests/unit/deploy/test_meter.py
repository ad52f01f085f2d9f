"""What the measuring client counts, and what it does not."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from deploy.local.meter import MeterError, Tally, percentile_ms


def message(kind: str, **fields: Any) -> dict[str, Any]:
    return {"T": kind, "S": "ES.XCME", "source": "replay", **fields}


FRAME = [
    message("tick", ts_recv=1_000),
    message("tick", ts_recv=2_000),
    message("live_bar", ts_recv=1_500),
    message("bar"),
    message("indicators", values={"sma_20": 1.0, "rsi_14": 50.0}),
    message("signal"),
]


def test_replayed_messages_count() -> None:
    tally = Tally()
    tally.add(FRAME, now_us=11_000)
    assert tally.summary(30) == {
        "ticks_in": 2,
        "bars": 1,
        "indicator_values": 2,
        "signals": 1,
        "delivered": 6,
        "latency_ms": {"p50": 9.5, "p99": 10.0},
        "seconds": 30,
        "ok": True,
    }


def test_synthetic_history_and_control_messages_never_count() -> None:
    tally = Tally()
    tally.add([{**each, "source": "synthetic"} for each in FRAME], now_us=0)
    tally.add([{**each, "hist": True} for each in FRAME], now_us=0)
    tally.add([{"T": "heartbeat", "last_seq": 1}, {"T": "subscriptions"}, {"T": "welcome"}], now_us=0)
    summary = tally.summary(0)
    assert (summary["delivered"], summary["ok"], tally.first_at) == (0, False, None)
    assert summary["latency_ms"] == {"p50": None, "p99": None}


@pytest.mark.parametrize("missing", ["tick", "bar", "indicators", "signal"])
def test_one_kind_that_does_not_flow_is_a_failure(missing: str) -> None:
    tally = Tally()
    tally.add([each for each in FRAME if each["T"] != missing], now_us=0)
    assert tally.summary(1)["ok"] is False


def test_a_refusal_is_an_error() -> None:
    with pytest.raises(MeterError, match="unknown channel"):
        Tally().add([{"T": "error", "code": 404, "msg": "unknown channel"}], now_us=0)


def test_percentiles_are_nearest_rank() -> None:
    values = array("q", range(1_000, 101_000, 1_000))
    assert (percentile_ms(values, 50), percentile_ms(values, 99)) == (50, 99)
    assert percentile_ms(array("q", [7_000]), 99) == 7

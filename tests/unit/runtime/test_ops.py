"""Readiness and liveness: a check that fails says why, and nothing said is not ready."""

from prometheus_client import CollectorRegistry, Counter

from services.runtime.ops import OpsServer


def failing() -> str | None:
    raise RuntimeError("broken check")


def test_without_checks_a_process_is_alive_but_not_ready() -> None:
    ops = OpsServer(0)
    assert list(ops.not_ready()) == ["start"]
    assert ops.not_alive() == {}


def test_each_failed_check_is_named_with_its_reason() -> None:
    ops = OpsServer(0)
    ops.add_ready_check("fine", lambda: None)
    assert ops.not_ready() == {}
    ops.add_ready_check("kafka", lambda: "broker does not answer")
    ops.add_live_check("reader", failing)
    assert ops.not_ready() == {"kafka": "broker does not answer"}
    assert ops.not_alive() == {"reader": "check failed: RuntimeError('broken check')"}


def test_metrics_are_prometheus_text() -> None:
    registry = CollectorRegistry()
    Counter("things_total", "Things.", registry=registry).inc(3)
    assert b"things_total 3.0" in OpsServer(0, registry=registry).metrics()

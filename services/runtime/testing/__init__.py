"""Helpers for tests: a clock moved by hand, `eventually`, and Kafka in memory. Not for product code."""

from services.runtime.testing.clock import ManualClock
from services.runtime.testing.waiting import eventually

__all__ = ["ManualClock", "eventually"]

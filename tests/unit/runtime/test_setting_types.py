"""Kinds of values of settings: what is one, and what is said of others."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.runtime.setting_types import Address, Addresses, Ipv4Address, RedisUrl, ServerUrl, asked_at, without_passwords


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Address, "h:1"),
        (Addresses, "kafka-1.example:9092,kafka_2:65535"),
        (Ipv4Address, "0.0.0.0"),
        *((RedisUrl, text) for text in ("redis://r", "rediss://me:secret@h:6379/15", "redis://:secret@h:1/?db=2", "unix:///run/redis.sock?db=1")),
        *((ServerUrl, text) for text in ("http://h", "https://me:secret@collector.example:4317/")),
    ],
)
def test_what_is_one_is_taken_as_it_is(kind: Any, value: str) -> None:
    assert TypeAdapter(kind).validate_python(value) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((Address, text) for text in ("", "h", ":1", "h:0", "h:65536", "h:99999", "h:+1", "h:\u0661", "h:1,h:2", "h:1\n", "a b:1", "http://h:1")),
        *((Addresses, text) for text in ("h:99999", "h:0", "h:1,", "h:1, h:2")),
        *((Ipv4Address, text) for text in ("not a host", "localhost", "::1", "1.2.3", "1.2.3.4.5", "256.0.0.1")),
        *((RedisUrl, text) for text in ("redis://", "redis://h:port/0", "redis://h:99999/x", "redis://h/x", "redis:///0", "http://h", "unix://", "h:6379")),
        *((ServerUrl, text) for text in ("http://h:99999", "http://h:abc", "http://", "h:4317", "http://h/v1/traces", "ftp://h", "http://h h", "http://[h")),
    ],
)
def test_anything_else_is_refused_in_words(kind: Any, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert "[^" not in caught.value.errors()[0]["msg"]


def test_passwords_are_not_shown() -> None:
    assert without_passwords("redis://me:secret@host:6379/0") == "redis://me:***@host:6379/0"
    assert without_passwords("redis://:se:c/r@t@host") == "redis://:***@host"
    assert without_passwords("redis://host:6379/0?password=secret&db=1") == "redis://host:6379/0?password=***&db=1"
    for harmless in ("redis://host:6379/0", "127.0.0.1:19092", "ops@example.com"):
        assert without_passwords(harmless) == harmless


def test_who_listens_everywhere_is_asked_at_loopback() -> None:
    assert (asked_at("0.0.0.0"), asked_at("10.1.2.3")) == ("127.0.0.1", "10.1.2.3")

"""Kinds of values that settings have: each is parsed when it is read, and says what was expected in words."""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

_HOST = re.compile(r"[^\s:,/@\[\]]+")
#: Of SIGNALBOX_HOST. Not a name: Envoy and the checks of ports would resolve it in their own ways.
IPV4_EXPECTED = "an IPv4 address, as 127.0.0.1, or 0.0.0.0 for all of this machine"
#: What stands before the last @ of an address, after its user's name; or after `password=`.
_PASSWORD = re.compile(r"^((?:[A-Za-z][\w+.-]*:/+)?[^:@/\s]*:)(.*)@|((?:^|[?&])password=)[^&\s]*")


def without_passwords(text: str) -> str:
    """A setting's value as it may be shown; also one that is no address although it should be."""
    return _PASSWORD.sub(lambda found: f"{found[3]}***" if found[3] else f"{found[1]}***@", text)


def asked_at(host: str) -> str:
    """Where what listens at `host` is asked: who listens at all addresses is asked at loopback."""
    return "127.0.0.1" if host == "0.0.0.0" else host


def matching(pattern: str, expected: str) -> AfterValidator:
    """The whole text matches. expected: the same in words."""
    whole = re.compile(pattern)

    def check(value: str) -> str:
        if not whole.fullmatch(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


def _checked(is_right: Callable[[str], bool], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_right(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65_535


def _is_address(text: str) -> bool:
    host, colon, port = text.partition(":")
    return bool(colon and _HOST.fullmatch(host)) and _is_port(port)


def _are_addresses(text: str) -> bool:
    return all(map(_is_address, text.split(",")))


def is_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address in four numbers."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _has_server(url: SplitResult) -> bool:
    """Whether a URL names a host, and a port that can be one if any."""
    server = url.netloc.rpartition("@")[2]
    return bool(_HOST.fullmatch(server)) or _is_address(server)


def _split(text: str) -> SplitResult | None:
    if re.search(r"\s", text):
        return None
    try:
        return urlsplit(text)
    except ValueError:
        return None


def _is_redis(text: str) -> bool:
    url = _split(text)
    if url is None:
        return False
    if url.scheme == "unix":
        return url.path.startswith("/")
    return url.scheme in {"redis", "rediss"} and _has_server(url) and re.fullmatch(r"(/\d*)?", url.path) is not None


def _is_server(text: str) -> bool:
    url = _split(text)
    return url is not None and url.scheme in {"http", "https"} and _has_server(url) and url.path in {"", "/"} and not url.query and not url.fragment


Address = Annotated[str, _checked(_is_address, "host:port, the port from 1 to 65535")]
"""Of one server."""
Addresses = Annotated[str, _checked(_are_addresses, "host:port[,host:port...], each port from 1 to 65535")]
"""Of a cluster."""
Ipv4Address = Annotated[str, _checked(is_ipv4, IPV4_EXPECTED)]
"""To listen on."""
RedisUrl = Annotated[
    str, _checked(_is_redis, "redis://[user:password@]host[:port][/number], the same with rediss://, or unix:///path; the port from 1 to 65535")
]
"""Of a Redis or Valkey."""
ServerUrl = Annotated[str, _checked(_is_server, "http://host[:port] or https://host[:port], the port from 1 to 65535")]
"""Of a server that is asked over HTTP."""

"""Page tokens: opaque to clients, bound to the query they were given for, valid on every replica and after a restart."""

import base64
import binascii
import hashlib
import struct

from services.runtime.errors import InvalidArgument

_DIGEST_BYTES = 8
_NUMBER = struct.Struct(">q")
_EXPECTED = "the next_page_token of the page before, with the same query"


def make_token(query: tuple[object, ...], *numbers: int) -> str:
    """A token that holds `numbers` (int64 each) for `query`, whose parts have a stable text form."""
    payload = b"".join(_NUMBER.pack(number) for number in numbers)
    return base64.urlsafe_b64encode(_digest(query, payload) + payload).decode().rstrip("=")


def read_token(token: str, query: tuple[object, ...], count: int) -> tuple[int, ...]:
    """The `count` numbers in a token. Raises InvalidArgument when it was not made for this query."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("page_token", token, _EXPECTED) from error
    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if len(payload) != count * _NUMBER.size or digest != _digest(query, payload):
        raise InvalidArgument("page_token", token, _EXPECTED)
    return tuple(value for (value,) in _NUMBER.iter_unpack(payload))


def _digest(query: tuple[object, ...], payload: bytes) -> bytes:
    return hashlib.blake2b(repr(query).encode() + b"\0" + payload, digest_size=_DIGEST_BYTES).digest()

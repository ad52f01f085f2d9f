"""Page tokens: opaque to clients, bound to the query they were given for, valid on every replica and after a restart."""

import base64
import binascii
import hashlib
import struct

from services.runtime.errors import InvalidArgument

_DIGEST_BYTES = 8
_NUMBER = struct.Struct(">q")


class BadPageToken(InvalidArgument):
    """A page token that this server did not give for this query."""

    reason = "BAD_PAGE_TOKEN"

    def __init__(self, token: str, why: str) -> None:
        super().__init__("page_token", token, f"the next_page_token of the page before, with all other fields as they were ({why})")


def make_token(query: tuple[object, ...], *numbers: int) -> str:
    """A token that holds `numbers` (int64 each) for `query`, whose parts have a stable text form."""
    payload = b"".join(_NUMBER.pack(number) for number in numbers)
    return base64.urlsafe_b64encode(_digest(query, payload) + payload).decode().rstrip("=")


def read_token(token: str, query: tuple[object, ...], count: int) -> tuple[int, ...]:
    """The `count` numbers in a token. Raises BadPageToken when it was not made for this query."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadPageToken(token, "it is not one of ours") from error
    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if len(payload) != count * _NUMBER.size:
        raise BadPageToken(token, "it is not one of ours")
    if digest != _digest(query, payload):
        raise BadPageToken(token, "it belongs to another query")
    return tuple(value for (value,) in _NUMBER.iter_unpack(payload))


def _digest(query: tuple[object, ...], payload: bytes) -> bytes:
    return hashlib.blake2b(repr(query).encode() + b"\0" + payload, digest_size=_DIGEST_BYTES).digest()

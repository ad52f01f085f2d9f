"""Bodies of answers: read and unpacked within a bound, whatever is sent."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from services.news.errors import FeedRefused

#: gzip or zlib, by what the data begins with; deflate without a header is tried when it is neither.
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_RAW_DEFLATE = -zlib.MAX_WBITS
_ENCODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True, "deflate": True}
#: Unpacked in steps of this size, so that a small piece of a bomb never becomes a large one in memory.
_STEP_BYTES = 64 << 10


class Unpacker:
    """Unpacks a body piece by piece and counts what comes out. limit: most bytes, packed and unpacked."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        packed = _ENCODINGS.get(content_encoding.strip().lower())
        if packed is None:
            raise FeedRefused("content-encoding", f"expected gzip, deflate or nothing, was {content_encoding[:40]!r}")
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB) if packed else None
        self._limit, self._read = limit, 0
        self._body = bytearray()

    @property
    def body(self) -> bytes:
        """What came out so far."""
        return bytes(self._body)

    @property
    def is_complete(self) -> bool:
        """Whether packed data has come to its end."""
        return self._inflate is None or self._inflate.eof or not self._read

    def add(self, piece: bytes) -> None:
        """Takes a piece. Raises FeedRefused: `too-large`, `bad-compression`."""
        self._read += len(piece)
        if self._read > self._limit:
            raise self._too_large()
        for part in [piece] if self._inflate is None else self._unpack(piece):
            self._body += part
            if len(self._body) > self._limit:
                raise self._too_large()

    def _unpack(self, piece: bytes) -> Iterator[bytes]:
        while piece := self._without_padding(piece):
            inflate = self._inflater(piece)
            try:
                part = inflate.decompress(piece, _STEP_BYTES)
            except zlib.error as error:
                raise FeedRefused("bad-compression", str(error)) from error
            yield part
            # A gzip file may hold several members, one after the other; what is left without progress is none of them.
            left = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if inflate.eof and len(left) == len(piece):
                return
            piece = left

    def _without_padding(self, piece: bytes) -> bytes:
        """Zeros between and after the members of a gzip file are none of them."""
        assert self._inflate is not None
        return piece.lstrip(b"\0") if self._inflate.eof else piece

    def _inflater(self, piece: bytes) -> zlib._Decompress:
        assert self._inflate is not None
        if self._inflate.eof:
            self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        elif self._read == len(piece) and not self._body and not _has_header(piece):
            self._inflate = zlib.decompressobj(_RAW_DEFLATE)
        return self._inflate

    def _too_large(self) -> FeedRefused:
        return FeedRefused("too-large", f"more than {self._limit} bytes")


def _has_header(piece: bytes) -> bool:
    """Whether it begins as gzip or zlib does."""
    return piece[:2] == b"\x1f\x8b" or piece[:1] == b"\x1f" or (piece[0] & 0x0F == 8 and (len(piece) == 1 or int.from_bytes(piece[:2], "big") % 31 == 0))


async def read_body(pieces: AsyncIterator[bytes], unpacker: Unpacker) -> None:
    """Feeds all pieces to the unpacker. Raises as Unpacker.add, and what `pieces` raises; what came until then is in the unpacker."""
    async for piece in pieces:
        unpacker.add(piece)

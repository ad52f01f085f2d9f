"""From a feed's bytes to its characters: what the feed declares is tried, what the bytes say counts."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_PROLOG = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: As browsers do: who declares these means the wider set of Windows.
_MEANT = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932"}
#: In these a byte below 0x80 need not be the ASCII character.
_NOT_ASCII = ("utf-16", "utf-32", "utf-7", "iso2022", "hz", "cp037", "cp500", "cp1140")

REPAIRING = "utf-8-or-windows"
"""UTF-8 in which each byte that is none is read as Windows-1252: right for feeds that mix both, and for Windows-1252 that is declared UTF-8."""


def _windows(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return bad.decode("cp1252", "replace"), error.end


codecs.register_error("windows-1252-byte", _windows)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a feed's bytes are to be read."""

    name: str
    """Codec, or REPAIRING."""
    is_repaired: bool
    """The bytes are not what was declared."""

    def decode(self, data: bytes) -> str:
        """The characters of some of the feed's bytes; what is wrong at a cut becomes U+FFFD."""
        if self.name == REPAIRING:
            return data.decode("utf-8", "windows-1252-byte")
        return data.decode(self.name, "replace")


def ascii_form(body: bytes, charset: str = "") -> tuple[bytes, Encoding]:
    """The body in an encoding whose ASCII bytes are ASCII characters, without byte-order mark, and that encoding.

    charset: as the HTTP header says; may be empty or wrong. UTF-16 and its kind are turned into UTF-8, all else stays as it is.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return (body[len(mark) :], Encoding("utf-8", False)) if name == "utf-8" else _transcoded(body, name)
    declared = _codec(charset) or _codec(_prolog(body))
    if body.startswith((b"<\x00", b"\x00<")):
        return _transcoded(body, "utf-16-le" if body.startswith(b"<\x00") else "utf-16-be")
    if declared and declared.startswith(_NOT_ASCII):
        return _transcoded(body, declared) if _fits(body, declared) else (body, Encoding(REPAIRING, True))
    return body, _encoding(body, _codec(charset), _codec(_prolog(body)))


def _encoding(body: bytes, *declared: str) -> Encoding:
    # Text that is valid UTF-8 and not all ASCII is UTF-8, whatever is declared: no other encoding passes by chance.
    if _fits(body, "utf-8"):
        return Encoding("utf-8", any(name not in ("", "utf-8") for name in declared) and not body.isascii())
    for name in declared:
        if name and name != "utf-8" and _fits(body, name):
            return Encoding(name, False)
    return Encoding(REPAIRING, True)


def _transcoded(body: bytes, name: str) -> tuple[bytes, Encoding]:
    return body.decode(name, "replace").encode("utf-8", "replace"), Encoding("utf-8", False)


def _prolog(body: bytes) -> str:
    found = _PROLOG.match(body)
    return found[1].decode() if found else ""


def _codec(name: str) -> str:
    """Python's name of an encoding; empty for none and for unknown ones."""
    try:
        found = codecs.lookup(name.strip().strip("\"'")).name if name else ""
    except (LookupError, ValueError):
        return ""
    # Codecs such as `zlib` and `rot13` are no encodings of text: a gzip bomb could be hidden in one.
    return _MEANT.get(found, found) if found and codecs.lookup(found)._is_text_encoding else ""


def _fits(body: bytes, name: str) -> bool:
    """Whether all of it is of the encoding; a character that is cut off at the end does not matter."""
    decoder = codecs.getincrementaldecoder(name)()
    try:
        decoder.decode(body, final=False)
    except UnicodeError:
        return False
    return True

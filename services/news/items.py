"""Where the items of a feed lie in its bytes.

A feed is cut into its items before any XML parser sees it. So each item's bytes are known exactly, one that is broken harms no other, a body
that ends early gives every item that is whole, memory is bounded by one item, and a document type never reaches the parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from services.news.errors import FeedRefused

#: Tags of items, and what may hold such tags without meaning them. Each alternative ends at the text's end at the latest, so that no
#: input is scanned more than twice.
_TAGS = re.compile(
    rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|<(?P<close>/?)(?:[A-Za-z][\w.-]{0,30}:)?(?:item|entry)(?=[\s/>])[^<>]*(?P<end>/?>)?", re.DOTALL
)
_ROOT = re.compile(rb"<(?:[A-Za-z][\w.-]{0,30}:)?(?P<name>rss|feed|RDF)(?=[\s>])[^<>]*>")
_ROOT_END = re.compile(rb"</(?:[A-Za-z][\w.-]{0,30}:)?(?:rss|feed|RDF)\s*>\s*\Z")
_NAMESPACE = re.compile(rb"""\sxmlns(?::[A-Za-z][\w.-]{0,30})?\s*=\s*(?:"[^"<>]{0,300}"|'[^'<>]{0,300}')""")
_ENTITY = re.compile(rb"<!ENTITY\s[^>]*")
_EXTERNAL = re.compile(rb"\s(?:SYSTEM|PUBLIC)\s")
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
#: What comes before the root element: a prolog, comments, a document type.
_MAX_PROLOG = 64 << 10
#: The end of the bytes in which the root's end tag is looked for.
_TAIL = 4 << 10

MAX_ITEMS = 50_000
"""Items of one answer; real feeds hold hundreds at most, and of real items 5 MiB hold fewer."""


@dataclass(slots=True)
class Slices:
    """A feed, cut."""

    head: bytes
    """What is before the first item and after the last one: title, language."""
    namespaces: bytes
    """Declarations of the root element, ` xmlns:a="..." ...`."""
    is_atom: bool
    items: list[bytes] = field(default_factory=list)
    is_truncated: bool = False
    """The bytes end before the feed does."""
    left_out: int = 0
    """Items beyond MAX_ITEMS."""


def cut(body: bytes) -> Slices:
    """Cuts a feed. body: in an encoding whose ASCII bytes are ASCII characters.

    Raises FeedRefused: `not-a-feed`, `html`, `entities` (it declares some: an XML bomb is made of them), `external-entity`.
    """
    root = _ROOT.search(body, 0, _MAX_PROLOG)
    _refuse_entities(body[: root.start() if root else _MAX_PROLOG])
    if root is None:
        raise _no_feed(body)
    slices = Slices(b"", b"".join(_NAMESPACE.findall(root[0])), root["name"] == b"feed")
    first, last = _cut_items(body, root.end(), slices)
    slices.head = body[root.end() : first] + body[last:]
    slices.is_truncated |= _ROOT_END.search(body[-_TAIL:]) is None
    return slices


def _cut_items(body: bytes, position: int, slices: Slices) -> tuple[int, int]:
    """Fills in the items; returns where the first one begins, and where the last one ends or is cut off."""
    opened = first = -1
    last = len(body)
    for tag in _TAGS.finditer(body, position):
        if tag["close"] is None:
            continue
        first = tag.start() if first < 0 else first
        last = tag.end()
        if tag["close"]:
            if opened >= 0:
                _take(body[opened : tag.end()], slices)
            opened = -1
        elif tag["end"] == b"/>" or tag[0].endswith(b"/>"):
            _take(tag[0], slices)
        else:
            # An item within an item is one whose end tag is missing: the one before is taken as far as it goes.
            if opened >= 0:
                _take(body[opened : tag.start()], slices)
            opened = tag.start()
    slices.is_truncated |= opened >= 0
    return (first if first >= 0 else len(body)), (len(body) if opened >= 0 else last)


def _take(item: bytes, slices: Slices) -> None:
    if len(slices.items) < MAX_ITEMS:
        slices.items.append(item)
    else:
        slices.left_out += 1


def _refuse_entities(prolog: bytes) -> None:
    if declared := _ENTITY.search(prolog):
        if _EXTERNAL.search(declared[0]):
            raise FeedRefused("external-entity", "the document declares an external entity")
        raise FeedRefused("entities", "the document declares entities of its own")


def _no_feed(body: bytes) -> FeedRefused:
    if not body.strip():
        return FeedRefused("empty", "the answer is empty")
    if _HTML.search(body, 0, _MAX_PROLOG):
        return FeedRefused("html", "a web page was sent instead of a feed")
    return FeedRefused("not-a-feed", f"no rss, feed or RDF element; it begins with {body[:60]!r}")

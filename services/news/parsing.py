"""From the bytes of a feed to its items: RSS 0.9 to 2.0, RDF, Atom 0.3 and 1.0."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from lxml import etree

from services.news.canonical import canonical_url
from services.news.cleaning import clean_line
from services.news.dates import PublishedAt, read_date
from services.news.decoding import Encoding, ascii_form
from services.news.domain import MAX_RAW_BYTES, MAX_SUMMARY_CHARS, MAX_TITLE_CHARS
from services.news.items import cut

_ATOM = ("http://www.w3.org/2005/Atom", "http://purl.org/atom/ns#")
_PLAIN = ("", *_ATOM, "http://purl.org/rss/1.0/", "http://my.netscape.com/rdf/simple/0.9/", "http://backend.userland.com/rss2")
_PREFIX = dict.fromkeys(_PLAIN, "") | {"http://purl.org/dc/elements/1.1/": "dc:", "http://purl.org/rss/1.0/modules/content/": "content:"}
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

#: In the order of preference; the first that can be read counts.
_DATES = ("pubDate", "published", "issued", "dc:date", "updated", "modified", "date")
_SUMMARIES = ("description", "summary", "content", "content:encoded")
_PUBLISHERS = ("source", "dc:publisher")
_AUTHORS = ("author", "dc:creator")

#: CDATA stays as it is; elsewhere an ampersand that begins none of XML's own references is meant as it stands, or is one of HTML's,
#: which the cleaning resolves.
_AMPERSANDS = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?!#\d{1,7};|#x[0-9A-Fa-f]{1,6};|amp;|lt;|gt;|quot;|apos;)", re.DOTALL)
_NO_XML = dict.fromkeys([*range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)])
_LANGUAGE = re.compile(r"^([A-Za-z]{2,3})(?:[-_].*)?$")

RSS_TYPE = "application/rss+xml"
ATOM_TYPE = "application/atom+xml"


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One item, cleaned. Everything but `raw` may be missing."""

    title: str
    summary: str
    url: str
    """Canonical; empty when it has no link."""
    published: PublishedAt | None
    """None when it has no date that can be read."""
    publisher: str
    """Of the item itself: its source; empty when it names none."""
    author: str
    guid: str
    language: str
    raw: bytes
    """As the feed held it, at most 64 KiB."""
    raw_type: str


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """What a feed's answer holds."""

    items: tuple[FeedItem, ...]
    """Every item, in the feed's order."""
    title: str
    language: str
    is_truncated: bool
    """It ended early; the items are those that were whole."""
    is_reencoded: bool
    """Its encoding was not the declared one, or none at all."""
    refused: Mapping[str, int]
    """What was not taken, by reason: `truncated`, `empty-item`, `broken-item`, `too-many-items`."""
    marked: Mapping[str, int]
    """Items that were taken without something: `no-link`, `no-date`."""


def parse_feed(body: bytes, *, url: str = "", charset: str = "", assumed: tzinfo | None = None) -> ParsedFeed:
    """Reads a feed's answer; takes every item.

    body: as received, decompressed. url: where it came from, for relative links. charset: as the HTTP header says. assumed: zone of dates
    that name none. Raises FeedRefused: `not-a-feed`, `html`, `empty`, `entities`, `external-entity`.
    """
    text, encoding = ascii_form(body, charset)
    slices = cut(text)
    reader = _Reader(encoding, slices.namespaces, url, assumed, ATOM_TYPE if slices.is_atom else RSS_TYPE)
    title, language = reader.head(slices.head)
    reader.language = language
    items = tuple(item for raw in slices.items if (item := reader.item(raw)) is not None)
    refused = reader.refused
    refused.update({"truncated": int(slices.is_truncated), "too-many-items": slices.left_out})
    return ParsedFeed(items, title, language, slices.is_truncated, encoding.is_repaired, +refused, +_marks(items))


def _marks(items: tuple[FeedItem, ...]) -> Counter[str]:
    return Counter({"no-link": sum(not item.url for item in items), "no-date": sum(item.published is None for item in items)})


class _Reader:
    def __init__(self, encoding: Encoding, namespaces: bytes, url: str, assumed: tzinfo | None, raw_type: str) -> None:
        self._encoding = encoding
        self._wrap = f"<r{encoding.decode(namespaces).translate(_NO_XML)}>"
        self._url, self._assumed, self._raw_type = url, assumed, raw_type
        self.language = ""
        self.refused: Counter[str] = Counter()

    def head(self, raw: bytes) -> tuple[str, str]:
        """Title and language of the feed."""
        root = self._parse(raw)
        if root is None:
            return "", ""
        top = next(root.iter(*(f"{{{space}}}channel" if space else "channel" for space in _PLAIN)), root)
        fields = _fields(top)
        return _clean(fields.get("title"), MAX_TITLE_CHARS), _language(_text(fields.get("language")) or _text(fields.get("dc:language")))

    def item(self, raw: bytes) -> FeedItem | None:
        root = self._parse(raw)
        if root is None or len(root) == 0:
            self.refused["broken-item"] += 1
            return None
        element = root[0]
        fields = _fields(element)
        title, summary = _clean(fields.get("title"), MAX_TITLE_CHARS), _first_clean(fields, _SUMMARIES, MAX_SUMMARY_CHARS)
        url = self._link(element, fields)
        if not (title or summary or url):
            self.refused["empty-item"] += 1
            return None
        return FeedItem(
            title=title,
            summary=summary,
            url=url,
            published=self._date(fields),
            publisher=_first_clean(fields, _PUBLISHERS, 200),
            author=_first_clean(fields, _AUTHORS, 200),
            guid=_text(fields.get("guid", fields.get("id")))[:500],
            language=_language(element.get(_XML_LANG) or _text(fields.get("dc:language"))) or self.language,
            raw=raw[:MAX_RAW_BYTES],
            raw_type=self._raw_type,
        )

    def _parse(self, raw: bytes) -> etree._Element | None:
        text = _AMPERSANDS.sub(lambda found: "&amp;" if found[0] == "&" else found[0], self._encoding.decode(raw).translate(_NO_XML))
        # A parser of its own for each item: what one leaves behind must not reach the next.
        parser = etree.XMLParser(
            encoding="utf-8",
            recover=True,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            return etree.fromstring(f"{self._wrap}{text}</r>".encode(), parser)
        except etree.XMLSyntaxError:
            return None

    def _link(self, element: etree._Element, fields: Mapping[str, etree._Element]) -> str:
        for space in _ATOM:
            for link in element.iterfind(f"{{{space}}}link"):
                if link.get("rel", "alternate") == "alternate" and (found := canonical_url(link.get("href", ""), self._url)):
                    return found
        for name in ("link", "guid"):
            field = fields.get(name)
            is_link = field is not None and (name == "link" or field.get("isPermaLink", "true") == "true")
            # A guid without a scheme is a number or a name, not a relative link.
            text = _text(field) if is_link else ""
            if (name == "link" or text.startswith(("http://", "https://"))) and (found := canonical_url(text, self._url)):
                return found
        return ""

    def _date(self, fields: Mapping[str, etree._Element]) -> PublishedAt | None:
        return next((found for name in _DATES if name in fields and (found := read_date(_text(fields[name]), self._assumed))), None)


def _fields(element: etree._Element) -> dict[str, etree._Element]:
    """Child elements by name, those that we know; the first of each name that is not empty."""
    found: dict[str, etree._Element] = {}
    for child in element:
        space, _, name = child.tag[1:].rpartition("}") if child.tag.startswith("{") else ("", "", child.tag)
        if (prefix := _PREFIX.get(space)) is not None and (prefix + name not in found or not _text(found[prefix + name])):
            found[prefix + name] = child
    return found


def _text(element: etree._Element | None) -> str:
    return "" if element is None else "".join(map(str, element.itertext())).strip()


def _clean(element: etree._Element | None, limit: int) -> str:
    if element is None:
        return ""
    if (name := element.find("{*}name")) is not None or (name := element.find("{*}title")) is not None:
        element = name  # Atom's author and source hold elements of their own
    is_text = element.get("type", "") in ("text", "text/plain") or (element.get("type") is None and element.tag.startswith(f"{{{_ATOM[0]}}}"))
    if element.get("type") == "xhtml":
        return clean_line(" ".join(map(str, element.itertext())), limit, is_html=False)
    return clean_line(_text(element), limit, is_html=not is_text)


def _first_clean(fields: Mapping[str, etree._Element], names: tuple[str, ...], limit: int) -> str:
    return next((text for name in names if name in fields and (text := _clean(fields[name], limit))), "")


def _language(text: str) -> str:
    found = _LANGUAGE.match(text)
    return found[1].lower() if found else ""

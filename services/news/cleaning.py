"""Text of feeds as clean lines: no HTML, no entities, wrongly decoded characters repaired, nothing that a terminal or a page could be led astray by."""

from __future__ import annotations

import re
from collections.abc import Iterator

import ftfy
from lxml import etree, html

#: A teaser that is longer is a whole article; its beginning is enough, and the time that cleaning takes has a bound.
_MAX_INPUT_CHARS = 64 << 10
_MARKUP = re.compile(r"<[a-zA-Z!/?]|&[#\w]")
_BLANK = re.compile(r"\s+")

#: Zero-width spaces, byte-order marks, soft hyphens, and the characters that turn the direction of writing: with them a headline
#: can show something else than it says. The joiners U+200C and U+200D stay, as Persian and Hindi and emoji need them.
_INVISIBLE = dict.fromkeys([0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC)])
_CONTROL = dict.fromkeys([*range(0x00, 0x09), *range(0x0E, 0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)])
_LINES = dict.fromkeys([0x85, 0x2028, 0x2029], " ")
_DROPPED = _CONTROL | _INVISIBLE | _LINES

_REPAIR = ftfy.TextFixerConfig(
    unescape_html=False,  # done before, and only where the text is HTML
    uncurl_quotes=False,  # a typographic quotation mark is no mistake
    fix_latin_ligatures=False,
    fix_character_width=False,  # full-width characters are meant in Japanese headlines
    remove_control_chars=False,
    normalization="NFC",
    explain=False,
)
#: Elements that end a word; others (`b`, `i`, `a`) stand within one.
_BREAKING = frozenset(
    (
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    )
)
_UNSEEN = frozenset(("script", "style", "template", "noscript", "iframe", "object", "svg", "head"))
_PARSER_LIMIT_NODES = 20_000


def clean_line(text: str, limit: int, *, is_html: bool = True) -> str:
    """One line of clean text.

    limit: most characters; a longer text is cut at a word and ends with an ellipsis. is_html: whether tags and entities mean something;
    False for Atom's `type="text"`.
    """
    text = text[:_MAX_INPUT_CHARS]
    if is_html and _MARKUP.search(text):
        text = text_of_html(text)
    if not text.isascii():
        text = repair(text)
    text = _BLANK.sub(" ", text.translate(_DROPPED)).strip()
    return text if len(text) <= limit else _cut(text, limit)


def repair(text: str) -> str:
    """Undoes wrong decoding ("Koreaâ€™s" is "Korea’s"), composes characters (NFC). Text that was right stays as it is."""
    return ftfy.fix_text(text, _REPAIR)


def text_of_html(text: str) -> str:
    """The text of a piece of HTML; block elements and line breaks become spaces, scripts and styles nothing."""
    try:
        root = html.fragment_fromstring(text, create_parent="div")
    except (etree.ParserError, ValueError):
        # lxml refuses NUL and its kind, and what holds no element at all.
        return text.translate(_CONTROL) if _CONTROL.keys() & map(ord, text) else ""
    return "".join(_pieces(root))


def _pieces(root: etree._Element) -> Iterator[str]:
    unseen = 0
    for number, (event, element) in enumerate(etree.iterwalk(root, events=("start", "end", "comment", "pi"))):
        if number > _PARSER_LIMIT_NODES:
            return
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            unseen += tag in _UNSEEN
            if not unseen:
                yield " " if tag in _BREAKING else ""
                yield element.text or ""
            continue
        if event == "end":
            unseen -= tag in _UNSEEN
        if not unseen:
            yield " " if tag in _BREAKING else ""
            yield (element.tail or "") if element is not root else ""


def _cut(text: str, limit: int) -> str:
    word_end = text.rfind(" ", limit // 2, limit)
    return text[: word_end if word_end > 0 else limit - 1].rstrip() + "…"

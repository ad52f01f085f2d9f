"""Which symbols an article is about, by published rules (README: "Which symbols").

cashtag: `$AAPL`. ticker: in parentheses, `(NASDAQ: AAPL)` or `(AAPL)`. name: as in the table of aliases; a name that also means something else needs a
company's suffix or a word of finance beside it, and nothing that says that it is the other thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.news.aliases import AliasTable, Listing, Name, load_aliases
from services.news.domain import RULE_FEED, SymbolLink

#: The table that is in use when no other is named.
ALIASES = Path(__file__).with_name("aliases.yaml")

_CASHTAG = re.compile(r"(?<![\w$])\$([A-Z]{1,5}(?:[.\-][A-Z])?)(?![\w$])")
_PARENTHESES = re.compile(r"[(\[]\s*(?:([A-Za-z][A-Za-z .]{1,24}?)\s*:\s*)?([A-Z]{1,5}(?:[.\-/][A-Z]{1,2})?)\s*(?:[,;][^)\]]{0,40})?[)\]]")
_WORD = re.compile(r"[^\W_]+(?:[&'’.][^\W_]+)*")
#: What may stand between the words of one name.
_BETWEEN = re.compile(r"[ \u00a0\-]|\. ?|, ")
#: Shorter tickers alone in parentheses mean too many other things.
_BARE_TICKER = 3
_ORDER = {rule: place for place, rule in enumerate((RULE_FEED, "cashtag", "ticker", "name"))}


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    """With straight apostrophes and without a possessive ending."""
    whole: str
    """With it."""
    start: int
    end: int
    end_whole: int


@dataclass(frozen=True, slots=True)
class _Text:
    """An article's text as the rule of names looks at it."""

    text: str
    words: Sequence[_Word]
    lower: frozenset[str]
    """Its words in lower case."""
    has_context: bool
    """Whether a word of finance is among them."""


class Linker:
    """Finds symbols by a table of aliases."""

    def __init__(self, table: AliasTable) -> None:
        self._table = table
        self._names: dict[str, list[Name]] = {}
        for name in table.names:
            for first in {name.words[0], name.words[0].upper()}:
                self._names.setdefault(first, []).append(name)
        for names in self._names.values():
            names.sort(key=lambda name: (-len(name.words), name.words))

    @classmethod
    def from_file(cls, path: Path = ALIASES) -> Linker:
        """With a table from a file. Raises WrongAliases."""
        return cls(load_aliases(path))

    def link(self, title: str, summary: str, known: Sequence[SymbolLink] = ()) -> tuple[SymbolLink, ...]:
        """Each symbol once, by the surest rule; in the order of the rules, then of the text. known: links that the feed itself states."""
        text = f"{title} \u2016 {summary}" if summary else title
        named = [SymbolLink(symbol, mention, "name") for name, mention in self._named(text) for symbol in name.symbols]
        sure = {link.symbol for link in named}
        found = [*known, *self._cashtags(text), *self._tickers(text, sure), *named]
        first: dict[str, SymbolLink] = {}
        for link in sorted(found, key=lambda link: _ORDER.get(link.rule, len(_ORDER))):
            first.setdefault(link.symbol, link)
        return tuple(first.values())

    def _cashtags(self, text: str) -> Iterator[SymbolLink]:
        for match in _CASHTAG.finditer(text):
            listing = self._table.listings.get(_plain(match[1]))
            if listing is not None:
                yield SymbolLink(listing.symbol, match[0], "cashtag")

    def _tickers(self, text: str, named: set[str]) -> Iterator[SymbolLink]:
        for match in _PARENTHESES.finditer(text):
            listing = self._table.listings.get(_plain(match[2]))
            if listing is not None and self._means(listing, match[1], match[2], named):
                yield SymbolLink(listing.symbol, match[0], "ticker")

    def _means(self, listing: Listing, exchange: str | None, ticker: str, named: set[str]) -> bool:
        """With its exchange it must be that one; without, it must be long enough or stand in an article that names the company."""
        if exchange is not None:
            return listing.mic in self._table.exchanges.get(exchange.strip().upper().replace(".", ""), ())
        return listing.symbol in named or (len(ticker) >= _BARE_TICKER and not listing.is_word)

    def _named(self, text: str) -> Iterator[tuple[Name, str]]:
        """Names that are meant, longest first at each place, each with its mention."""
        words = list(_words(text))
        lower = frozenset(word.text.lower() for word in words)
        read = _Text(text, words, lower, not self._table.context.isdisjoint(lower))
        at = 0
        while at < len(words):
            found = self._longest(read, at)
            if found is None:
                at += 1
                continue
            name, end = found
            if not name.is_ambiguous or self._is_meant(name, read, at):
                yield name, text[words[at].start : end]
            at += len(name.words)

    def _longest(self, read: _Text, at: int) -> tuple[Name, int] | None:
        """The longest name that begins at a word, and where its mention ends. A name may itself end in 's, so that is tried first."""
        word = read.words[at]
        for text in dict.fromkeys((word.whole, word.text)):
            for name in self._names.get(text, ()):
                end = _end_of(name.words, read.text, read.words[at : at + len(name.words)])
                if end is not None:
                    return name, end
        return None

    def _is_meant(self, name: Name, read: _Text, at: int) -> bool:
        if not name.veto.isdisjoint(read.lower):
            return False
        stop = at + len(name.words)
        before = read.words[at - 1].text.lower() if at else ""
        after = read.words[stop].text.lower() if stop < len(read.words) else ""
        if before in name.not_after or after in name.not_before:
            return False
        return read.has_context or after in self._table.suffixes


def _words(text: str) -> Iterable[_Word]:
    for match in _WORD.finditer(text):
        whole = match[0].replace("’", "'")
        plain = whole.removesuffix("'s").removesuffix("'S")
        yield _Word(plain, whole, match.start(), match.start() + len(plain), match.end())


def _end_of(name: tuple[str, ...], text: str, words: Sequence[_Word]) -> int | None:
    """Where the mention of a name ends; None when these words are not the name. The last word may have a possessive ending, which is no part of it."""
    if len(words) < len(name):
        return None
    for place, (expected, word) in enumerate(zip(name, words, strict=True)):
        if place and not _BETWEEN.fullmatch(text, words[place - 1].end_whole, word.start):
            return None
        accepted = (expected, expected.upper())
        if word.whole not in accepted and (place < len(name) - 1 or word.text not in accepted):
            return None
    last = words[-1]
    return last.end_whole if last.whole in (name[-1], name[-1].upper()) else last.end


def _plain(ticker: str) -> str:
    return ticker.replace(".", "-").replace("/", "-")

"""What was known at a time: newest revisions, filters, pages that hold together, stories, and what is forgotten; against a plain look at everything."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.news.book import ArticleBook, Known, Place, View
from services.news.domain import Article, SymbolLink
from tests.unit.news.stories_of import START_NS, article

EVER = 10**19


def everything(book: ArticleBook, view: View, *, size: int = 1_000, symbols: tuple[str, ...] = (), feeds: tuple[str, ...] = ()) -> list[str]:
    """Keys of all articles of a view, read in pages."""
    keys: list[str] = []
    before: Place | None = None
    while True:
        page = book.page(view, symbols=symbols, feeds=feeds, start_ns=0, end_ns=EVER, before=before, limit=size)
        keys += [known.article.key for known in page]
        if len(page) < size:
            return keys
        before = page[-1].place


def about(number: int, symbol: str, **changes: Any) -> Article:
    return article(number, links=(SymbolLink(symbol, symbol, "name"),), story_id=f"s{number % 2}", **changes)


def test_as_of_shows_the_revision_that_was_known_then() -> None:
    book = ArticleBook(100)
    book.add(article(0, "First"), 0)
    book.add(article(0, "Second", revision=1, at_ns=START_NS + 10), 1)
    assert everything(book, View(START_NS - 1, 9)) == []
    assert everything(book, View(START_NS + 9, 9)) == ["a0000@0"]
    assert everything(book, View(START_NS + 10, 9)) == ["a0000@1"]


def test_the_same_revision_again_changes_nothing() -> None:
    book = ArticleBook(100)
    assert book.add(article(0, "First"), 0) is not None
    assert book.add(article(0, "Other", at_ns=START_NS + 5), 1) is None
    assert everything(book, View(EVER, 9)) == ["a0000@0"]
    assert book.next_offset() == 2
    assert book.brought() == {"feed": 1}


def test_pages_hold_together_while_articles_arrive() -> None:
    book = ArticleBook(1_000)
    for number in range(10):
        book.add(article(number), number)
    view = View(EVER, book.next_offset())
    first = book.page(view, symbols=(), feeds=(), start_ns=0, end_ns=EVER, before=None, limit=4)
    for number in range(10, 20):
        book.add(article(number), number)
    book.add(article(2, "Revised", revision=1, at_ns=START_NS + 30 * 10**9), 20)
    rest = book.page(view, symbols=(), feeds=(), start_ns=0, end_ns=EVER, before=first[-1].place, limit=100)
    assert [known.article.key for known in first + rest] == [f"a{number:04d}@0" for number in range(9, -1, -1)]


def test_filters_and_bounds() -> None:
    book = ArticleBook(100)
    for number, (symbol, feed) in enumerate([("A.X", "f"), ("B.X", "g"), ("A.X", "g"), ("C.X", "f")]):
        book.add(about(number, symbol, feed=feed), number)
    view = View(EVER, 9)
    assert everything(book, view, symbols=("A.X", "B.X")) == ["a0002@0", "a0001@0", "a0000@0"]
    assert everything(book, view, feeds=("g",), size=1) == ["a0002@0", "a0001@0"]
    assert everything(book, view, symbols=("A.X",), feeds=("g",)) == ["a0002@0"]
    assert everything(book, view, symbols=("Z.X",)) == []
    times = book.page(view, symbols=(), feeds=(), start_ns=START_NS + 10**9, end_ns=START_NS + 3 * 10**9, before=None, limit=9)
    assert [known.article.id for known in times] == ["a0002", "a0001"]


def test_an_article_of_two_symbols_comes_once() -> None:
    book = ArticleBook(100)
    book.add(article(0, links=(SymbolLink("A.X", "A", "name"), SymbolLink("B.X", "B", "name"))), 0)
    assert everything(book, View(EVER, 9), symbols=("A.X", "B.X")) == ["a0000@0"]


def test_a_story_as_of_a_time() -> None:
    book = ArticleBook(100)
    for number in range(3):
        book.add(article(number, f"Title {number}", story_id="a0000"), number)
    book.add(article(0, "Revised", revision=1, at_ns=START_NS + 5 * 10**9, story_id="a0000"), 3)
    early = book.story("a0000", View(START_NS + 10**9, 9))
    late = book.story("a0000", View(EVER, 9))
    assert early is not None
    assert late is not None
    assert [known.article.key for known in early.articles] == ["a0000@0", "a0001@0"]
    assert [known.article.key for known in late.articles] == ["a0000@1", "a0001@0", "a0002@0"]
    assert (late.first_received_ns, late.last_received_ns) == (START_NS, START_NS + 2 * 10**9)
    assert book.story("a0000", View(START_NS - 1, 9)) is None
    assert book.story("none", View(EVER, 9)) is None


def test_the_oldest_go_and_leave_nothing_behind() -> None:
    gone: list[Known] = []
    book = ArticleBook(100, gone.extend)
    for number in range(1_000):
        book.add(about(number, f"S{number}.X", feed=f"f{number % 7}"), number)
    assert 100 <= len(book) <= 102
    assert len(gone) + len(book) == 1_000
    kept = everything(book, View(EVER, 10_000))
    assert kept == [f"a{number:04d}@0" for number in range(999, 999 - len(book), -1)]
    assert len(book._by_symbol) == len(book._revisions) == len(book)
    assert sum(map(len, book._by_feed.values())) == sum(map(len, book._by_story.values())) == len(book._order) == len(book)
    assert sum(book.brought().values()) == 1_000


RECORDS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 20), st.sampled_from(["A.X", "B.X"]), st.sampled_from("fg")), max_size=40)


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.integers(0, 21), st.integers(0, 41), st.integers(1, 5), st.sampled_from([(), ("A.X",), ("A.X", "B.X")]), st.sampled_from([(), ("f",)]))
def test_pages_equal_a_plain_look_at_everything(
    records: list[tuple[int, int, int, str, str]], as_of: int, until: int, size: int, symbols: tuple[str, ...], feeds: tuple[str, ...]
) -> None:
    """Records in any order of times and revisions, some of them twice."""
    book = ArticleBook(1_000)
    kept: dict[str, tuple[Article, int]] = {}
    for offset, (number, revision, at, symbol, feed) in enumerate(records):
        each = about(number, symbol, revision=revision, at_ns=at, feed=feed)
        book.add(each, offset)
        kept.setdefault(each.key, (each, offset))
    known = [(each, offset) for each, offset in kept.values() if each.received_ns <= as_of and offset < until]
    newest = {each.id: (each, offset) for each, offset in sorted(known, key=lambda entry: entry[0].revision)}
    chosen = [
        (each.received_ns, offset, each.key)
        for each, offset in newest.values()
        if (not symbols or each.links[0].symbol in symbols) and (not feeds or each.feed in feeds)
    ]
    assert everything(book, View(as_of, until), size=size, symbols=symbols, feeds=feeds) == [key for _, _, key in sorted(chosen, reverse=True)]

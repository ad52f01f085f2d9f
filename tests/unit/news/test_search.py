"""Full text: what is found, in which order, as of which time, and what is said of a query that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.news.book import ArticleBook, View
from services.news.domain import Article
from services.news.search import SearchIndex
from services.runtime.errors import InvalidArgument
from tests.unit.news.stories_of import START_NS, article

EVER = View(10**18 * 9, 10**9)


def index_of(articles: list[Article], limit: int = 10_000) -> tuple[ArticleBook, SearchIndex]:
    """A book and its index with these, the offsets in their order."""
    made: list[SearchIndex] = []
    book = ArticleBook(limit, lambda gone: made[0].forget(gone))  # noqa: PLW0108 - the list is empty yet
    made.append(SearchIndex(book))
    for offset, each in enumerate(articles):
        known = book.add(each, offset)
        if known is not None:
            made[0].add(known)
    return book, made[0]


def found(index: SearchIndex, query: str, view: View = EVER, start: int = 0, limit: int = 100) -> list[str]:
    return [hit.known.article.key for hit in index.search(query, view, start, limit)[0]]


FED = [
    article(0, "Fed raises rates", summary="Markets fall after the decision"),
    article(1, "Markets fall", summary="After the Fed raised its rate"),
    article(2, "Apple unveils a phone", summary="It has a screen"),
]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("fed", ["a0000@0", "a0001@0"]),
        ("FED raising", ["a0000@0", "a0001@0"]),
        ('"raises rates"', ["a0000@0"]),
        ("title:fed", ["a0000@0"]),
        ("summary:screen", ["a0002@0"]),
        ("markets -apple +title:fed", ["a0000@0"]),
        ("fed AND screen", []),
        ("nothing", []),
    ],
)
def test_finds(query: str, keys: list[str]) -> None:
    _, index = index_of(FED)
    assert found(index, query) == keys


@pytest.mark.parametrize(
    ("query", "said"),
    [("fed AND (", "Syntax Error"), ('"open', "Syntax Error"), ("body:fed", "Field does not exist: 'body'"), ("-fed", "Only excluding"), ("/f.*/", "Regex")],
)
def test_a_query_that_cannot_be_read_is_refused_with_what_is_wrong(query: str, said: str) -> None:
    _, index = index_of(FED)
    with pytest.raises(InvalidArgument, match="query: expected words") as caught:
        index.search(query, EVER, 0, 10)
    assert said in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_any_query_is_answered_or_refused(query: str) -> None:
    try:
        INDEX.search(query, EVER, 0, 10)
    except InvalidArgument as error:
        assert error.field == "query"  # noqa: PT017 - both ways out are right


_BOOK, INDEX = index_of(FED)


def test_hits_are_those_of_the_time() -> None:
    revised = article(0, "Central bank raises rates", revision=1, at_ns=START_NS + 60 * 10**9)
    _, index = index_of([*FED, revised])
    before, after = View(START_NS + 59 * 10**9, 10), View(START_NS + 60 * 10**9, 10)
    assert found(index, "title:fed", before) == ["a0000@0"]
    assert found(index, "title:fed", after) == []
    assert found(index, "central", before) == []
    assert found(index, "central", after) == ["a0000@1"]
    assert found(index, "fed", View(START_NS, 10)) == ["a0000@0"]
    assert found(index, "fed", View(START_NS - 1, 10)) == []


def test_what_was_just_added_is_found() -> None:
    book, index = index_of(FED)
    assert found(index, "zebra") == []
    known = book.add(article(7, "Zebra"), 7)
    assert known is not None
    index.add(known)
    # A view of its own: that of the first question was answered for good.
    assert found(index, "zebra", View(EVER.as_of_ns, 8)) == ["a0007@0"]


def test_pages_come_from_one_answer() -> None:
    book, index = index_of([article(number, f"Fed meets {number}") for number in range(30)])
    view = View(EVER.as_of_ns, book.next_offset())
    pages = [index.search("fed meets", view, 0, 12)]
    for number in range(30, 60):
        known = book.add(article(number, "Fed fed fed meets"), number)
        assert known is not None
        index.add(known)
    pages += [index.search("fed meets", view, 12, 12), index.search("fed meets", view, 24, 12)]
    assert [hit.known.article.id for hits, _ in pages for hit in hits] == [f"a{number:04d}" for number in range(29, -1, -1)]
    assert [total for _, total in pages] == [30, 30, 30]
    assert [hit.position for hits, _ in pages for hit in hits] == list(range(30))


def test_what_is_forgotten_is_not_found() -> None:
    book, index = index_of([article(number, f"Fed meets {number}") for number in range(1_000)], limit=100)
    assert index.documents() == len(book) <= 102
    assert len(found(index, "fed", limit=1_000)) == len(book)

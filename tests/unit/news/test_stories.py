"""Grouping into stories: what joins, what does not, and that only the order of the articles matters."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.news.domain import Article
from services.news.stories import MAX_TITLES, WINDOW_NS, StoryBook
from services.news.words import topic_words
from tests.unit.news.stories_of import HOUR_NS, START_NS, article

PLOSSER = [
    "Fed official says weak data caused by weather, should not slow taper",
    "Fed's Plosser: Nasty Weather Has Curbed Job Growth",
    "Plosser: Fed May Have to Accelerate Tapering Pace",
]


def publish(book: StoryBook, articles: list[Article], portion: int = 1) -> list[str]:
    """As the worker does it: ask for a portion, publish, remember. Returns the stories."""
    stories: list[str] = []
    for at in range(0, len(articles), portion):
        some = articles[at : at + portion]
        found = book.assign(some)
        for each, story_id in zip(some, found, strict=True):
            book.remember(replace(each, story_id=story_id))
        stories += found
    return stories


def test_the_same_event_is_one_story_named_by_its_first_article() -> None:
    assert publish(StoryBook(), [article(number, title) for number, title in enumerate(PLOSSER)]) == ["a0000"] * 3


@pytest.mark.parametrize(
    "other",
    [
        "Herbalife shares tumble as FTC opens probe",
        "McDonald's sales fall in February",
        "Titanfall launches on Xbox One",
        "苹果公司发布新产品",
        "The",
        "",
    ],
)
def test_another_event_is_another_story(other: str) -> None:
    assert publish(StoryBook(), [article(0, PLOSSER[0]), article(1, other)]) == ["a0000", "a0001"]


def test_titles_of_common_words_only_are_no_story() -> None:
    assert publish(StoryBook(), [article(0, "What we have now"), article(1, "What we have now")]) == ["a0000", "a0001"]


def test_what_one_publisher_tells_is_several_stories_unless_it_is_almost_the_same() -> None:
    titles = [
        "Federal Reserve Board announces approval of application by OceanFirst Financial",
        "Federal Reserve Board announces approval of application by Banco de Credito del Peru",
        "Federal Reserve Board announces its approval of the application by OceanFirst Financial",
    ]
    told = [article(number, title, publisher="Federal Reserve") for number, title in enumerate(titles)]
    assert publish(StoryBook(), [told[0], told[2]]) == ["a0000", "a0000"]
    assert len(set(publish(StoryBook(), [article(0, "8-K - ACME CORP (0000000001) (Filer)"), article(1, "8-K - OTHER CORP (0000000002) (Filer)")]))) == 2
    different = [article(number, f"Federal Reserve Board {verb} {what}", publisher="Federal Reserve") for number, (verb, what) in enumerate(DIFFERENT)]
    assert len(set(publish(StoryBook(), different))) == len(DIFFERENT)
    others = [article(10, "Plosser: Fed may taper sooner", publisher="A"), article(11, "Fed's Plosser sees faster taper", publisher="B")]
    assert publish(StoryBook(), others) == ["a0010", "a0010"]


DIFFERENT = [("issues", "enforcement action"), ("releases", "annual financial statements"), ("invites", "comment on payment accounts")]


def test_one_shared_word_is_too_little_for_a_small_story() -> None:
    assert publish(StoryBook(), [article(0, "Is Nvidia overvalued"), article(1, "Nvidia hires")]) == ["a0000", "a0001"]


def test_a_story_is_full_one_day() -> None:
    book = StoryBook()
    stories = publish(book, [article(number, PLOSSER[1]) for number in range(MAX_TITLES + 2)])
    assert stories.count("a0000") == MAX_TITLES
    assert set(stories[MAX_TITLES:]) == {f"a{MAX_TITLES:04d}"}


def test_a_revision_stays_in_its_story_whatever_its_new_title() -> None:
    book = StoryBook()
    publish(book, [article(0, PLOSSER[1]), article(1, PLOSSER[2])])
    revised = article(1, "Herbalife shares tumble", revision=1, at_ns=START_NS + HOUR_NS)
    assert book.assign([revised]) == ["a0000"]


def test_a_story_ends_when_nothing_was_added_for_the_window() -> None:
    late = article(1, PLOSSER[1], at_ns=START_NS + WINDOW_NS + 1)
    in_time = article(1, PLOSSER[1], at_ns=START_NS + WINDOW_NS)
    for other, expected in ((late, "a0001"), (in_time, "a0000")):
        assert publish(StoryBook(), [article(0, PLOSSER[1]), other])[1] == expected


def test_nothing_is_left_of_stories_that_are_over() -> None:
    book = StoryBook()
    publish(book, [article(number, title) for number, title in enumerate(PLOSSER)])
    publish(book, [article(9, "Herbalife", at_ns=START_NS + 2 * WINDOW_NS)])
    assert len(book) == 1
    assert state_of(book) == state_of(filled([article(9, "Herbalife", at_ns=START_NS + 2 * WINDOW_NS)]))


def test_the_number_of_open_stories_is_bounded() -> None:
    book = StoryBook(max_open=10)
    publish(book, [article(number, f"word{number} thing{number}") for number in range(100)])
    assert len(book) <= 11


def filled(articles: list[Article]) -> StoryBook:
    """A book that has these published."""
    book = StoryBook()
    publish(book, articles)
    return book


def state_of(book: StoryBook) -> tuple[object, ...]:
    """Everything that a decision depends on."""
    return book._open, book._sums, book._titles_with, book._titles, book._story_of


def test_asking_leaves_nothing_behind() -> None:
    book = filled([article(number, title) for number, title in enumerate(PLOSSER)])
    before = deepcopy(state_of(book))
    book.assign([article(10 + number, title) for number, title in enumerate([*PLOSSER, "Something else entirely", PLOSSER[0]])])
    assert state_of(book) == before
    book.assign([article(99, PLOSSER[0], at_ns=START_NS + 2 * WINDOW_NS)])
    assert state_of(book) == before


WORDS = st.sampled_from(["fed", "taper", "plosser", "herbalife", "probe", "apple", "iphone", "profit", "ukraine", "crimea", "gas"])
TITLES = st.lists(WORDS, max_size=5).map(" ".join)
#: Gaps in hours, some of them longer than the window.
ARTICLES = st.lists(st.tuples(TITLES, st.integers(0, 60)), max_size=30)


@settings(max_examples=150, deadline=None)
@given(ARTICLES, st.integers(1, 30))
def test_portions_and_restarts_do_not_matter(entries: list[tuple[str, int]], portion: int) -> None:
    """However the articles are cut into portions, and whether the state was built from the topic, the stories and the state are the same."""
    now, articles = START_NS, []
    for number, (title, gap) in enumerate(entries):
        now += gap * HOUR_NS
        articles.append(article(number, title, at_ns=now))
    one_by_one, portions, restarted = StoryBook(), StoryBook(), StoryBook()
    stories = publish(one_by_one, articles)
    assert publish(portions, articles, portion) == stories
    for each, story_id in zip(articles, stories, strict=True):
        restarted.remember(replace(each, story_id=story_id))
    assert state_of(portions) == state_of(one_by_one) == state_of(restarted)


def test_words_are_compared_without_endings_case_and_possessives() -> None:
    assert topic_words("Fed’s Tapering, TAPERED!") == topic_words("fed tapers tapering") == {"fed", "taper"}

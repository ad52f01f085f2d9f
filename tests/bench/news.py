"""News: articles a second through parsing, grouping, linking and scoring; memory; and how good grouping and scoring are where the labelled sets are there.

The texts that are timed are made here, from a seed: feeds of items about events, each told by several sources in words of its own.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from xml.sax.saxutils import escape

from services.news.book import ArticleBook
from services.news.domain import Article
from services.news.enrichment import ArticleEnricher
from services.news.feeds.feed import Feed
from services.news.known import KnownArticles
from services.news.links import Linker
from services.news.parsing import parse_feed
from services.news.search import SearchIndex
from services.news.sentiment.scorer import SCORER, Scorer
from services.news.stories import StoryBook
from tests import news_quality as quality
from tests.bench.results import Result

ARTICLES, FEED_ITEMS = 10_000, 50
#: Seconds between two articles: 10,000 in two days, as many as the window of stories holds.
_GAP_NS = 17 * 10**9
_SOURCES = 4
_WHO = (
    "Apple",
    "Microsoft",
    "IBM",
    "Boeing",
    "Ford Motor",
    "Acme",
    "Northern Rail",
    "Visa",
    "Harbour Foods",
    "Kestrel Energy",
    "the central bank",
    "Delta",
    "Orion Labs",
)
_DID = ("raises", "cuts", "confirms", "misses", "beats", "delays", "reviews", "doubles", "halts", "expands")
_WHAT = (
    "profit forecast",
    "quarterly sales",
    "dividend",
    "plant in Ohio",
    "order book",
    "interest rates",
    "merger talks",
    "recall of brakes",
    "job plans",
    "debt sale",
)
_WHY = (
    "on weak demand",
    "after strong holiday season",
    "as costs rise",
    "amid probe",
    "despite losses",
    "ahead of vote",
    "in Europe",
    "as shares slip",
    "on record orders",
)
_SYLLABLES = (
    "ba",
    "cor",
    "dan",
    "el",
    "fi",
    "gor",
    "hal",
    "in",
    "jo",
    "kur",
    "lem",
    "mi",
    "nor",
    "ost",
    "pel",
    "qui",
    "ra",
    "sten",
    "tal",
    "ur",
    "vel",
    "wes",
    "yan",
    "zo",
)


def run() -> list[Result]:
    """For `python -m tests.bench`."""
    return [*_speed(), *_memory(), *_quality()]


def bodies(count: int) -> list[bytes]:
    """Feeds with so many items in all, FEED_ITEMS each."""
    rng = random.Random(20260423)
    items: list[str] = []
    while len(items) < count:
        event = [rng.choice(_WHO), rng.choice(_DID), rng.choice(_WHAT), rng.choice(_WHY), *(_name(rng) for _ in range(4))]
        for source in range(_SOURCES):
            title = " ".join(part for part in event if rng.random() < 0.85) + " &amp; more"
            summary = escape(f"<p>{' '.join(rng.sample(event, 6))}. The company said on Tuesday that {' '.join(event[:4])}; analysts had expected it.</p>" * 2)
            link = f"https://source{source}.example/news/{len(items)}?utm_source=rss"
            date = f"<pubDate>Thu, 23 Apr 2026 {len(items) // 3600 % 24:02}:{len(items) // 60 % 60:02}:{len(items) % 60:02} GMT</pubDate>"
            told_by = f'<source url="https://source{source}.example/">Source {source}</source>'
            items.append(f"<item><title>{title}</title><description>{summary}</description><link>{link}</link><guid>{len(items)}</guid>{date}{told_by}</item>")
    head = '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>Bench</title><language>en</language>'
    return [f"{head}{''.join(items[at : at + FEED_ITEMS])}</channel></rss>".encode() for at in range(0, count, FEED_ITEMS)]


def _name(rng: random.Random) -> str:
    """A name of a person or place that nobody has."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(3)).capitalize()


def articles_of(feeds: Sequence[bytes]) -> list[Article]:
    """Parses the feeds and makes articles of their items, as the worker does."""
    feed, known, made = Feed("bench", "rss", "https://bench.example/rss", 300.0), KnownArticles(), []
    for body in feeds:
        made += known.news_of(feed, parse_feed(body, url=feed.url).items, 0)
    return [replace(article, received_ns=at * _GAP_NS) for at, article in enumerate(made)]


def _speed() -> list[Result]:
    feeds = bodies(ARTICLES)
    articles: list[Article] = []
    parse_s = _cpu(lambda: articles.extend(articles_of(feeds)))
    if len(articles) != ARTICLES:
        raise AssertionError(f"{len(articles)} articles of {ARTICLES} items")
    linker, scorer, vader = Linker.from_file(), Scorer(), quality.vader()
    group_s = _cpu(lambda: _publish(ArticleStories(), articles))
    link_s = _cpu(lambda: [linker.link(article.title, article.summary) for article in articles])
    score_s = _cpu(lambda: [scorer.score(article.title, article.summary) for article in articles])
    vader_s = _cpu(lambda: [(vader(article.title), vader(article.summary)) for article in articles])
    all_s = _cpu(lambda: _publish(ArticleEnricher(linker=linker, scorer=scorer), articles_of(feeds)))
    return [
        Result("news.articles_per_s", ARTICLES / all_s, "articles/s"),
        Result("news.parse_per_s", ARTICLES / parse_s, "articles/s"),
        Result("news.group_per_s", ARTICLES / group_s, "articles/s"),
        Result("news.link_per_s", ARTICLES / link_s, "articles/s"),
        Result("news.score_per_s", ARTICLES / score_s, "articles/s", "VADER 3.3.2 on the same texts", ARTICLES / vader_s),
    ]


class ArticleStories(ArticleEnricher):
    """Groups only."""

    def __init__(self) -> None:
        self._book = StoryBook()

    def remember(self, article: Article) -> None:
        """Takes note."""
        self._book.remember(article)

    def enrich(self, articles: Sequence[Article]) -> list[Article]:
        """With their stories."""
        return [replace(article, story_id=story) for article, story in zip(articles, self._book.assign(articles), strict=True)]


def _publish(enricher: ArticleEnricher, articles: Sequence[Article]) -> list[Article]:
    """As the worker does it: a feed's items together, then each is taken note of."""
    published: list[Article] = []
    for at in range(0, len(articles), FEED_ITEMS):
        some = enricher.enrich(articles[at : at + FEED_ITEMS])
        for article in some:
            enricher.remember(article)
        published += some
    return published


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of processor time; those of a single run, for what is run changes what it runs on."""
    gc.collect()
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _memory() -> list[Result]:
    """Memory of 10,000 articles in the service's view, and of the stories that are open in the worker. The index's own is tantivy's and not seen here."""
    articles = _publish(ArticleEnricher(), articles_of(bodies(ARTICLES)))
    stories, book = StoryBook(), ArticleBook(ARTICLES)
    kept_mb = _traced_mb(lambda: [book.add(_copy(article), at) for at, article in enumerate(articles)])
    open_mb = _traced_mb(lambda: _remember(stories, articles))
    index = SearchIndex(book)
    for at, article in enumerate(articles):
        known = book.at((article.received_ns, at))
        if known is not None:
            index.add(known)
    commit_s = _cpu(index.documents)
    print(f"news: {len(stories):,} stories open of {ARTICLES:,} articles; the index of them committed in {commit_s:.2f} s", file=sys.stderr)
    return [
        Result("news.memory_10k_articles_mb", kept_mb, "MB", higher_is_better=False),
        Result("news.memory_10k_open_titles_mb", open_mb, "MB", higher_is_better=False),
    ]


def _remember(stories: StoryBook, articles: Sequence[Article]) -> None:
    for article in articles:
        stories.remember(article)


def _copy(article: Article) -> Article:
    """With strings of its own, as a record's reading makes them."""
    return replace(
        article, title=article.title[:1] + article.title[1:], summary=article.summary[:1] + article.summary[1:], url=article.url[:1] + article.url[1:]
    )


def _traced_mb(work: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / 1e6
    finally:
        tracemalloc.stop()


def _quality() -> list[Result]:
    folder = quality.data_folder()
    if folder is None:
        print("news: SIGNALBOX_DATA names no folder with the labelled sets; precision, recall, accuracy and F1 are skipped", file=sys.stderr)
        return []
    items = quality.headlines(folder, 1)
    found, same = quality.grouping(items, quality.grouped(items)), quality.grouping(items, quality.same_title(items))
    thin = quality.thinned(items, 10)
    small = quality.grouping(thin, quality.grouped(thin))
    sentences, sure = quality.sentences(folder, 1), quality.sentences(folder, 1, 100)
    scorer, vader = Scorer(), quality.vader()
    ours, theirs = (lambda text: scorer.score(text).label), (lambda text: quality.vader_label(vader(text)))
    all_ours, all_theirs = quality.labelling(sentences, ours), quality.labelling(sentences, theirs)
    sure_ours, sure_theirs = quality.labelling(sure, ours), quality.labelling(sure, theirs)
    commonest = quality.labelling(sentences, lambda _: "neutral")
    scored = quality.scored_headlines(folder, 1)
    true = [score for _, score in scored]
    print(f"news: {SCORER}; the commonest label alone: accuracy {commonest.accuracy:.3f}, macro-F1 {commonest.macro_f1:.3f}", file=sys.stderr)
    exact, by_vader = "the same title only", "VADER 3.3.2 alone"
    return [
        Result("news.story_precision", found.precision, "of pairs", exact, same.precision),
        Result("news.story_recall", found.recall, "of pairs", exact, same.recall),
        Result("news.story_b_cubed_precision", found.b_cubed_precision, "", exact, same.b_cubed_precision),
        Result("news.story_b_cubed_recall", found.b_cubed_recall, "", exact, same.b_cubed_recall),
        Result("news.story_precision_small", small.precision, "of pairs"),
        Result("news.story_recall_small", small.recall, "of pairs"),
        Result("news.sentiment_accuracy", all_ours.accuracy, "of sentences", by_vader, all_theirs.accuracy),
        Result("news.sentiment_macro_f1", all_ours.macro_f1, "", by_vader, all_theirs.macro_f1),
        Result("news.sentiment_accuracy_agreed", sure_ours.accuracy, "of sentences", by_vader, sure_theirs.accuracy),
        Result("news.sentiment_macro_f1_agreed", sure_ours.macro_f1, "", by_vader, sure_theirs.macro_f1),
        Result("news.sentiment_accuracy_commonest", all_ours.accuracy, "of sentences", "the commonest label", commonest.accuracy),
        Result("news.sentiment_macro_f1_commonest", all_ours.macro_f1, "", "the commonest label", commonest.macro_f1),
        Result(
            "news.sentiment_correlation",
            statistics.correlation([scorer.score(title).score for title, _ in scored], true),
            "Pearson",
            by_vader,
            statistics.correlation([vader(title) for title, _ in scored], true),
        ),
    ]

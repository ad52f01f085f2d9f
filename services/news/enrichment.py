"""What is added to an article before it is published: its story, the symbols it is about, how it sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.news.domain import Article
from services.news.links import Linker
from services.news.sentiment.scorer import SCORER, Scorer
from services.news.stories import StoryBook


class ArticleEnricher:
    """The `Enricher` of ports.py. The same articles in the same order, published in whatever portions, get the same answer.

    Not safe for use from several threads.
    """

    def __init__(self, stories: StoryBook | None = None, linker: Linker | None = None, scorer: Scorer | None = None) -> None:
        self._stories = stories or StoryBook()
        self._linker = linker or Linker.from_file()
        self._scorer = scorer or Scorer()

    def remember(self, article: Article) -> None:
        """Takes note of an article as it was published."""
        self._stories.remember(article)

    def enrich(self, articles: Sequence[Article]) -> list[Article]:
        """The articles with story, links and sentiment; later ones know of earlier ones. Remembers nothing."""
        stories = self._stories.assign(articles)
        return [self._enriched(article, story_id) for article, story_id in zip(articles, stories, strict=True)]

    def _enriched(self, article: Article, story_id: str) -> Article:
        sound = self._scorer.score(article.title, article.summary)
        links = self._linker.link(article.title, article.summary, article.links)
        return replace(article, story_id=story_id, links=links, sentiment=sound.score, sentiment_label=sound.label, scorer=SCORER)


def enrich(articles: Sequence[Article], known: Sequence[Article], linker: Linker | None = None) -> list[Article]:
    """The articles enriched, knowing what was published before them, in its order. Pure."""
    enricher = ArticleEnricher(linker=linker)
    for article in known:
        enricher.remember(article)
    return enricher.enrich(articles)

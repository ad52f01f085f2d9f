"""What the crawl needs from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.news.domain import Article


class Enricher(Protocol):
    """Adds story, links and sentiment to articles. Holds what is known, so that the same articles in the same order give the same answer."""

    def remember(self, article: Article) -> None:
        """Takes note of an article that was published before, as it was published; in the topic's order, at the start and after each publication."""
        ...

    def enrich(self, articles: Sequence[Article]) -> Sequence[Article]:
        """The same articles in the same order with `story_id`, `links`, `sentiment`, `sentiment_label`, `scorer`. Remembers nothing by itself.

        Later articles of one call know of the earlier ones.
        """
        ...

"""Articles put on the topic of a running stack, as the news worker would."""

from __future__ import annotations

import time
import uuid

from signalbox.events.v1 import article_pb2

from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.topics import ARTICLES
from tests.e2e.conftest import Stack


def publish_article(stack: Stack, title: str, *, url: str, symbol: str = "") -> str:
    """Sends one article, published and received now; returns its id."""
    now, identity = time.time_ns(), uuid.uuid4().hex
    links = [article_pb2.ArticleLink(symbol=symbol, mention=symbol, rule="test")] if symbol else []
    article = article_pb2.Article(
        id=identity, revision=1, feed="e2e", publisher="A test", url=url, title=title, ts_published=now, ts_recv=now, story_id=identity, links=links
    )
    producer = make_producer(stack.bootstrap)
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(ARTICLES.message, "e2e")]
    producer.produce(ARTICLES.name, article.SerializeToString(), key=f"{identity}@1", headers=headers)
    assert producer.flush(30) == 0
    return identity

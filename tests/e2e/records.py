"""Records put on the topics of a running stack, as its processes would."""

from __future__ import annotations

import time
import uuid

from signalbox.events.v1 import alert_pb2, article_pb2

from services.runtime.headers import record_headers
from services.runtime.kafka import make_producer
from services.runtime.topics import ALERTS, ARTICLES, Topic
from tests.e2e.conftest import Stack


def publish_article(stack: Stack, title: str, *, url: str, symbol: str = "") -> str:
    """Sends one article, published and received now; returns its id."""
    now, identity = time.time_ns(), uuid.uuid4().hex
    links = [article_pb2.ArticleLink(symbol=symbol, mention=symbol, rule="test")] if symbol else []
    article = article_pb2.Article(
        id=identity, revision=1, feed="e2e", publisher="A test", url=url, title=title, ts_published=now, ts_recv=now, story_id=identity, links=links
    )
    _send(stack, ARTICLES, f"{identity}@1", article.SerializeToString())
    return identity


def publish_alert(stack: Stack, key: str, title: str, *, is_resolved: bool = False) -> None:
    """Sends an alert, or its end."""
    now = time.time_ns()
    alert = alert_pb2.Alert(key=key, severity="critical", title=title, detail="A test.", source="e2e", ts_since=now, ts_event=now, is_resolved=is_resolved)
    _send(stack, ALERTS, key, alert.SerializeToString())


def _send(stack: Stack, topic: Topic, key: str, value: bytes) -> None:
    producer = make_producer(stack.bootstrap)
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(topic.message, "e2e")]
    producer.produce(topic.name, value, key=key, headers=headers)
    assert producer.flush(30) == 0

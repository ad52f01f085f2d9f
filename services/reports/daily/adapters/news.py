"""The news service: articles as they were known at a time."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from signalbox.news.v1 import news_service_pb2 as pb
from signalbox.news.v1.news_service_pb2_grpc import NewsServiceStub

from services.reports.daily.adapters.grpc_errors import unavailable
from services.reports.daily.model import NewsItem
from services.runtime.timestamps import nanoseconds, timestamp

_NS = 10**9
_PAGE = 500
#: A report shows some hundred; with more than this the older ones are left out.
_MAX_ARTICLES = 2_000


class NewsOverGrpc:
    """Newsroom. timeout_s: for one page."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        self._stub, self._timeout_s = NewsServiceStub(channel), timeout_s

    async def articles(self, start_ns: int, as_of_ns: int) -> Sequence[NewsItem]:
        """As the port says."""
        request = pb.ListArticlesRequest(start=timestamp(start_ns), as_of=timestamp(as_of_ns), page_size=_PAGE)
        found: list[NewsItem] = []
        while len(found) < _MAX_ARTICLES:
            try:
                page = await self._stub.ListArticles(request, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                raise unavailable("news", error) from error
            found += [_item(article) for article in page.articles]
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return found


def _item(article: pb.Article) -> NewsItem:
    return NewsItem(
        id=article.id,
        title=article.title,
        publisher=article.publisher or article.feed,
        url=article.url,
        published_ns=nanoseconds(article.published_at) if article.HasField("published_at") else 0,
        received_ns=nanoseconds(article.received_at),
        symbols=tuple(sorted({link.symbol for link in article.links})),
        sentiment=article.sentiment.score if article.HasField("sentiment") else None,
        sentiment_label=article.sentiment.label,
        is_recorded=article.is_recorded,
    )

"""The gRPC face of the news service: validate, call, translate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc
from signalbox.news.v1 import news_service_pb2 as pb
from signalbox.news.v1 import news_service_pb2_grpc as pb_grpc

from services.news import translate
from services.news.book import Place, View
from services.news.feeds.feed import Feed
from services.news.library import Library
from services.news.views import NewsViews
from services.runtime.errors import NotFound
from services.runtime.page_token import make_token, read_token

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

#: Full name of the service.
SERVICE = pb.DESCRIPTOR.services_by_name["NewsService"].full_name


class NewsServicer(pb_grpc.NewsServiceServicer):
    """Answers from memory. All pages of an answer are of the moment of the first: records that came later are not in them."""

    def __init__(self, library: Library, feeds: Sequence[Feed]) -> None:
        self._library, self._feeds = library, feeds

    @property
    def _views(self) -> NewsViews:
        return self._library.views

    async def ListArticles(self, request: pb.ListArticlesRequest, context: Context) -> pb.ListArticlesResponse:
        """A page of articles."""
        query = translate.article_query(request)
        book = self._views.book
        bound = ("articles", query)
        before: Place | None = None
        until = book.next_offset()
        if request.page_token:
            until, *place = read_token(request.page_token, bound, 3)
            before = place[0], place[1]
        found = book.page(
            View(query.as_of_ns, until),
            symbols=query.symbols,
            feeds=query.feeds,
            start_ns=query.start_ns,
            end_ns=query.end_ns,
            before=before,
            limit=query.page_size + 1,
        )
        articles = translate.article_messages(found[: query.page_size])
        token = make_token(bound, until, *found[len(articles) - 1].place) if len(found) > len(articles) else ""
        return pb.ListArticlesResponse(articles=articles, next_page_token=token)

    async def GetStory(self, request: pb.GetStoryRequest, context: Context) -> pb.GetStoryResponse:
        """A story with its articles."""
        story_id, as_of_ns = translate.story_id(request), translate.as_of(request)
        book = self._views.book
        story = book.story(story_id, View(as_of_ns, book.next_offset()))
        if story is None:
            raise NotFound("story", story_id)
        return pb.GetStoryResponse(story=translate.story_message(story))

    async def SearchArticles(self, request: pb.SearchArticlesRequest, context: Context) -> pb.SearchArticlesResponse:
        """A page of what was found."""
        query = translate.search_query(request)
        views = self._views
        bound = ("search", query)
        until, start = read_token(request.page_token, bound, 2) if request.page_token else (views.book.next_offset(), 0)
        # In a thread: a commit that is due takes milliseconds.
        hits, total = await asyncio.to_thread(views.index.search, query.text, View(query.as_of_ns, until), start, query.page_size)
        articles = translate.article_messages([hit.known for hit in hits])
        following = hits[len(articles)].position if len(articles) < len(hits) else start + query.page_size
        return pb.SearchArticlesResponse(
            hits=[pb.SearchHit(article=article, score=hit.score) for article, hit in zip(articles, hits, strict=False)],
            next_page_token=make_token(bound, until, following) if following < total else "",
        )

    async def ListFeeds(self, request: pb.ListFeedsRequest, context: Context) -> pb.ListFeedsResponse:
        """The feeds, each with its state."""
        views = self._views
        return pb.ListFeedsResponse(feeds=translate.feed_messages(self._feeds, views.feed_states(), views.book.brought()))

    async def RebuildViews(self, request: pb.RebuildViewsRequest, context: Context) -> pb.RebuildViewsResponse:
        """Everything anew from the topics."""
        done = await self._library.rebuild()
        return pb.RebuildViewsResponse(articles=done.articles, indexed=done.indexed, feeds=done.feeds, seconds=done.seconds)

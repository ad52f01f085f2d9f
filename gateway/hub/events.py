"""From records of news, jobs and alerts to what clients are told: one event a record, few a second.

An event belongs to all who want its channel, and to those who want one of its names: an article's symbols, a job's kind. Made in the readers' threads.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

from google.protobuf.message import DecodeError, Message
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.events.v1 import alert_pb2, article_pb2, job_pb2
from signalbox.reports.v1 import jobs_service_pb2 as jobs

from gateway.hub.blocks import Origin, origin_of
from gateway.hub.rows import EventRow
from gateway.hub.series import Channel
from services.runtime.errors import BadRecord
from services.runtime.headers import read_headers
from services.runtime.kafka import Record
from services.runtime.topics import ALERTS, ARTICLES, JOBS

#: An article's summary in a message, characters; the whole of it is asked for by REST or gRPC.
_SUMMARY = 500
_JOB_TIMES = ("created_at", "started_at", "ended_at", "estimated_end_at")

MessageT = TypeVar("MessageT", bound=Message)


class Event(NamedTuple):
    """One event on its way into the hub."""

    channel: Channel
    """NEWS, JOBS or ALERTS."""
    names: tuple[str, ...]
    """What it can be asked for by, besides `*`."""
    row: EventRow
    traceparent: str | None = None
    """Trace context of the record."""
    origin: Origin | None = None
    """The record, if its trace is recorded."""

    @property
    def size(self) -> int:
        """Rows."""
        return 1


def events_of(record: Record) -> list[Event]:
    """The event of a record of news, jobs or alerts; none when the record only removes its key. Raises BadRecord."""
    if not record.value:
        return []
    traceparent = read_headers(record.headers).traceparent
    event = _DECODERS[record.topic](record.value)
    return [event._replace(traceparent=traceparent, origin=origin_of(record, traceparent))]


def _parsed(message: type[MessageT], data: bytes) -> MessageT:
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise BadRecord(f"not a {message.DESCRIPTOR.name}: {error}") from error


def _article(data: bytes) -> Event:
    article = _parsed(article_pb2.Article, data)
    symbols = tuple(dict.fromkeys(link.symbol for link in article.links))
    fields = {
        "T": "news",
        "id": article.id,
        "rev": article.revision,
        **({"t": article.ts_published // 1_000_000} if article.ts_published else {}),
        "ts_recv": article.ts_recv // 1_000,
        "title": article.title,
        "summary": article.summary[:_SUMMARY],
        "url": article.url,
        "feed": article.feed,
        "publisher": article.publisher,
        "story": article.story_id,
        "symbols": list(symbols),
        "sentiment": article.sentiment,
        "label": article.sentiment_label,
        **({"recorded": True} if article.is_recorded else {}),
    }
    message = edge.StreamMessage()
    _fill_article(message, article)
    return Event(Channel.NEWS, symbols, EventRow(article.ts_recv, f"{article.id}@{article.revision}", fields, message))


def _fill_article(message: edge.StreamMessage, article: article_pb2.Article) -> None:
    to = message.article
    for name in ("id", "revision", "feed", "publisher", "url", "title", "story_id", "language", "is_recorded"):
        setattr(to, name, getattr(article, name))
    to.summary = article.summary[:_SUMMARY]
    if article.ts_published:
        to.published_at.FromNanoseconds(article.ts_published)
    if article.HasField("published_utc_offset_minutes"):
        to.published_utc_offset_minutes = article.published_utc_offset_minutes
    to.received_at.FromNanoseconds(article.ts_recv)
    for link in article.links:
        to.links.add(symbol=link.symbol, mention=link.mention, rule=link.rule)
    to.sentiment.score, to.sentiment.label, to.sentiment.scorer = article.sentiment, article.sentiment_label, article.scorer


def _job(data: bytes) -> Event:
    job = _parsed(job_pb2.JobEvent, data)
    times = {"created": job.ts_created, "started": job.ts_started, "ended": job.ts_ended, "eta": job.ts_estimated_end}
    fields = {
        "T": "job",
        "t": job.ts_event // 1_000_000,
        **{name: getattr(job, name) for name in ("id", "kind", "state", "priority", "attempt", "done", "total", "unit", "message", "owner")},
        **{name: time // 1_000_000 for name, time in times.items() if time},
    }
    message = edge.StreamMessage()
    _fill_job(message.job, job)
    # Its progress is told as it comes, but is no history.
    return Event(Channel.JOBS, (job.kind,), EventRow(job.ts_event, f"{job.id}/{job.attempt}/{job.state}", fields, message))


def _fill_job(to: jobs.Job, job: job_pb2.JobEvent) -> None:
    to.id, to.kind, to.attempt, to.owner = job.id, job.kind, job.attempt, job.owner
    try:
        to.state = cast(jobs.JobState, jobs.JobState.Value(f"JOB_STATE_{job.state.upper()}"))
        to.priority = cast(jobs.JobPriority, jobs.JobPriority.Value(f"JOB_PRIORITY_{job.priority.upper()}"))
    except ValueError as error:
        raise BadRecord(f"state and priority: expected those of signalbox.reports.v1, were {job.state!r} and {job.priority!r}") from error
    to.progress.done, to.progress.total, to.progress.unit, to.progress.message = job.done, job.total, job.unit, job.message
    for name, time in zip(_JOB_TIMES, (job.ts_created, job.ts_started, job.ts_ended, job.ts_estimated_end), strict=True):
        if time:
            getattr(to, name).FromNanoseconds(time)


def _alert(data: bytes) -> Event:
    alert = _parsed(alert_pb2.Alert, data)
    fields = {
        "T": "alert",
        "t": alert.ts_event // 1_000_000,
        **{name: getattr(alert, name) for name in ("key", "severity", "title", "detail", "source")},
        "since": alert.ts_since // 1_000_000,
        "resolved": alert.is_resolved,
    }
    message = edge.StreamMessage()
    to = message.alert
    to.key, to.severity, to.title, to.detail, to.is_resolved = alert.key, alert.severity, alert.title, alert.detail, alert.is_resolved
    to.since.FromNanoseconds(alert.ts_since)
    return Event(Channel.ALERTS, (), EventRow(alert.ts_event, f"{alert.key}@{alert.ts_event}", fields, message))


_DECODERS: dict[str, Callable[[bytes], Event]] = {ARTICLES.name: _article, JOBS.name: _job, ALERTS.name: _alert}

TOPICS: tuple[str, ...] = tuple(_DECODERS)
"""The topics with one event a record."""

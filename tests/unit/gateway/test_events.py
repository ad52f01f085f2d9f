"""News, jobs and alerts through the hub."""

from __future__ import annotations

import pytest
from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.events.v1 import alert_pb2, article_pb2, job_pb2
from signalbox.reports.v1 import jobs_service_pb2 as jobs

from gateway.hub.events import events_of
from gateway.hub.json_requests import parse_json
from gateway.hub.proto_requests import parse_proto
from gateway.hub.requests import BadRequest, Subscribe
from gateway.hub.series import Channel, Group
from services.runtime.errors import BadRecord
from services.runtime.kafka import Record
from services.runtime.topics import ALERTS, ARTICLES, JOBS
from tests.unit.gateway.hubs import HandHub

MS = 1_000_000


def article(number: int, *symbols: str, revision: int = 0) -> Record:
    value = article_pb2.Article(
        id=f"a{number}", revision=revision, title=f"Title {number}", ts_recv=number * 1_000 * MS, sentiment=0.5, sentiment_label="positive"
    )
    for symbol in symbols:
        value.links.add(symbol=symbol, mention=symbol[:2], rule="name")
    return _record(ARTICLES.name, value.SerializeToString())


def job(state: str, done: float = 0.0, *, kind: str = "report.daily", at: int = 1) -> Record:
    value = job_pb2.JobEvent(id="j1", kind=kind, state=state, priority="high", attempt=1, done=done, total=10, unit="symbols", ts_created=MS, ts_event=at * MS)
    return _record(JOBS.name, value.SerializeToString())


def alert(*, resolved: bool) -> Record:
    value = alert_pb2.Alert(key="schedule/x/failing", severity="warning", title="x fails", ts_since=5 * MS, ts_event=7 * MS, is_resolved=resolved)
    return _record(ALERTS.name, value.SerializeToString())


def _record(topic: str, value: bytes) -> Record:
    return Record(topic, 0, 0, None, value, [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")], 0)


def take(hub: HandHub, *records: Record) -> None:
    for record in records:
        for event in events_of(record):
            hub.intake.take(event)
    hub.turn()


def test_an_article_comes_once_to_whoever_wants_all_or_any_of_its_symbols() -> None:
    hub = HandHub()
    (everyone, all_of), (named, some), (other, none) = hub.client(), hub.client(), hub.client()
    hub.ask(everyone, action="subscribe", news=["*", "AAPL.XNAS"])
    hub.ask(named, action="subscribe", news=["AAPL.XNAS", "MSFT.XNAS"])
    hub.ask(other, action="subscribe", news=["IBM.XNYS"])
    take(hub, article(1, "AAPL.XNAS", "MSFT.XNAS"), article(2))
    assert [message["id"] for message in all_of.messages("news")] == ["a1", "a2"]
    assert [message["id"] for message in some.messages("news")] == ["a1"]
    assert some.messages("news")[0]["symbols"] == ["AAPL.XNAS", "MSFT.XNAS"]
    assert none.messages("news") == []


def test_a_repeated_revision_is_told_once_and_a_new_one_again() -> None:
    hub = HandHub()
    client, recorder = hub.client()
    hub.ask(client, action="subscribe", news=["*"])
    take(hub, article(1), article(1), article(1, revision=1))
    assert [message["rev"] for message in recorder.messages("news")] == [0, 1]


def test_history_comes_before_updates_and_per_symbol() -> None:
    hub = HandHub()
    take(hub, article(1, "AAPL.XNAS"), article(2), article(3, "AAPL.XNAS"))
    client, recorder = hub.client()
    hub.ask(client, action="subscribe", news=["AAPL.XNAS"], history=10, id="x")
    hub.turn()
    assert [(message["id"], message["hist"]) for message in recorder.messages("news")] == [("a1", True), ("a3", True)]
    assert recorder.messages("history_end")[0]["count"] == 2


def test_unsubscribing_all_leaves_what_was_named_and_the_reverse() -> None:
    hub = HandHub()
    client, recorder = hub.client()
    hub.ask(client, action="subscribe", news=["*", "AAPL.XNAS"])
    hub.ask(client, action="unsubscribe", news=["*"])
    take(hub, article(1), article(2, "AAPL.XNAS"))
    hub.ask(client, action="unsubscribe", news=["AAPL.XNAS"])
    take(hub, article(3, "AAPL.XNAS"))
    assert [message["id"] for message in recorder.messages("news")] == ["a2"]
    assert recorder.messages("subscriptions")[-1]["news"] == []


def test_every_state_and_progress_of_a_job_is_told_but_only_states_are_history() -> None:
    hub = HandHub()
    client, recorder = hub.client()
    hub.ask(client, action="subscribe", jobs=["report.daily"])
    take(
        hub,
        job("waiting", at=1),
        job("running", at=2),
        job("running", 4, at=3),
        job("running", 8, at=4),
        job("succeeded", 10, at=5),
        job("running", kind="other.kind"),
    )
    told = [(message["state"], message["done"]) for message in recorder.messages("job")]
    assert told == [("waiting", 0), ("running", 0), ("running", 4), ("running", 8), ("succeeded", 10)]
    late, past = hub.client()
    hub.ask(late, action="subscribe", jobs=["report.daily"], history=10)
    hub.turn()
    assert [message["state"] for message in past.messages("job")] == ["waiting", "running", "succeeded"]


def test_alerts_come_with_their_end() -> None:
    hub = HandHub()
    client, recorder = hub.client()
    hub.ask(client, action="subscribe", alerts=["*"])
    take(hub, alert(resolved=False))
    message = recorder.messages("alert")[0]
    assert message | {"seq": 0, "tp": ""} == {
        "seq": 0,
        "T": "alert",
        "t": 7,
        "key": "schedule/x/failing",
        "severity": "warning",
        "title": "x fails",
        "detail": "",
        "source": "",
        "since": 5,
        "resolved": False,
        "tp": "",
    }


def test_the_same_in_protobuf() -> None:
    found = [events_of(record)[0].row.message for record in (article(1, "AAPL.XNAS"), job("running", 4), alert(resolved=True))]
    assert [message.WhichOneof("body") for message in found] == ["article", "job", "alert"]
    assert found[0].article.links[0].symbol == "AAPL.XNAS"
    assert (found[1].job.state, found[1].job.progress.done, found[1].job.HasField("ended_at")) == (jobs.JOB_STATE_RUNNING, 4, False)
    assert found[2].alert.is_resolved


def test_a_removed_key_is_no_event_and_garbage_is_refused() -> None:
    assert events_of(_record(ARTICLES.name, b"")) == []
    for topic in (ARTICLES.name, JOBS.name, ALERTS.name):
        with pytest.raises(BadRecord):
            events_of(_record(topic, b"\xff\xff\xff"))
    with pytest.raises(BadRecord, match="'dancing'"):
        events_of(job("dancing"))


@pytest.mark.parametrize("request_", [{"jobs": ["AAPL.XNAS"]}, {"alerts": ["AAPL.XNAS"]}, {"news": ["report.daily"]}])
def test_names_are_checked_by_channel(request_: dict[str, list[str]]) -> None:
    hub = HandHub()
    with pytest.raises(BadRequest):
        hub.ask(hub.client()[0], action="subscribe", **request_)


def test_events_have_no_interval_in_either_encoding() -> None:
    message = edge.SubscribeRequest(subscribe=edge.SubscribeAction(selections=[edge.Selection(channel=edge.CHANNEL_NEWS, symbols=["*"])]))
    expected = Subscribe({Group(Channel.NEWS, 0): frozenset({"*"})})
    assert parse_proto(message) == expected
    assert parse_json(b'{"action":"subscribe","news":["*"],"interval":"1h"}') == expected

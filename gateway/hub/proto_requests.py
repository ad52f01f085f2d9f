"""Requests as protobuf."""

from collections.abc import Iterable

from signalbox.edge.v1 import subscription_service_pb2 as edge
from signalbox.market.v1 import market_pb2 as market

from gateway.hub.requests import BadRequest, Request, Selections, Subscribe, Unsubscribe, check_history, check_id, check_symbols, merge
from gateway.hub.series import INTERVAL_SECONDS, NO_INTERVAL, Channel, Group

_MAX_SELECTIONS = 64


def parse_proto(request: edge.SubscribeRequest) -> Request:
    """A request from a message. Raises BadRequest naming the field, its value and what was expected."""
    request_id = check_id(request.id)
    match request.WhichOneof("action"):
        case "subscribe":
            action = request.subscribe
            if action.resume_from:
                raise BadRequest("resume_from", action.resume_from, "empty: resuming is not built yet", request_id)
            return Subscribe(_selections(action.selections, request_id), check_history(action.history, request_id), request_id)
        case "unsubscribe":
            return Unsubscribe(_selections(request.unsubscribe.selections, request_id), request_id)
        case _:
            raise BadRequest("action", None, "subscribe or unsubscribe", request_id)


def _selections(selections: Iterable[edge.Selection], request_id: str) -> Selections:
    found = list(selections)
    if len(found) > _MAX_SELECTIONS:
        raise BadRequest("selections", f"{len(found)} of them", f"1 to {_MAX_SELECTIONS}", request_id)
    groups = [(_group(each, request_id), each) for each in found]
    return merge(((group, check_symbols("symbols", each.symbols, request_id, group.channel)) for group, each in groups), request_id)


def _group(selection: edge.Selection, request_id: str) -> Group:
    try:
        channel = Channel(selection.channel)
    except ValueError as error:
        raise BadRequest("channel", selection.channel, "a known channel", request_id, code=404) from error
    if not channel.has_interval:
        return Group(channel, NO_INTERVAL)
    interval = INTERVAL_SECONDS.get(selection.interval or market.INTERVAL_1M)
    if interval is None:
        raise BadRequest("interval", selection.interval, "a known interval", request_id)
    return Group(channel, interval)

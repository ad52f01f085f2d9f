"""Errors of ours become gRPC statuses with google.rpc details."""

from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.runtime import errors
from services.runtime.interceptors import status_of

MessageT = TypeVar("MessageT", bound=Message)


def unpacked(status: status_pb2.Status, kind: type[MessageT]) -> MessageT:
    for detail in status.details:
        found = kind()
        if detail.Unpack(found):
            return found
    raise AssertionError(f"no {kind.__name__} in {status}")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgument("interval", "7x", "one of 1s, 1m"), code_pb2.INVALID_ARGUMENT),
        (errors.NotFound("price", "X.Y"), code_pb2.NOT_FOUND),
        (errors.Unavailable("Kafka", "gone"), code_pb2.UNAVAILABLE),
        (errors.ResourceExhausted("queue", "full"), code_pb2.RESOURCE_EXHAUSTED),
        (errors.DeadlineExceeded(3.0), code_pb2.DEADLINE_EXCEEDED),
    ],
)
def test_codes(error: errors.SignalboxError, code: int) -> None:
    status = status_of(error)
    assert status.code == code
    assert status.message == str(error)
    info = unpacked(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (error.reason, "signalbox")


def test_a_wrong_field_is_named_with_its_value_and_what_was_expected() -> None:
    status = status_of(errors.InvalidArgument("interval", "7x", "interval in {1s, 1m}"))
    (violation,) = unpacked(status, error_details_pb2.BadRequest).field_violations
    assert violation.field == "interval"
    assert violation.description == "interval: expected interval in {1s, 1m}, was '7x'"


def test_what_was_not_found_is_named() -> None:
    info = unpacked(status_of(errors.NotFound("series", "X.Y 1m")), error_details_pb2.ResourceInfo)
    assert (info.resource_type, info.resource_name) == ("series", "X.Y 1m")


def test_trying_again_is_advised_where_it_helps() -> None:
    assert unpacked(status_of(errors.Unavailable("Kafka", "gone", retry_after_s=4)), error_details_pb2.RetryInfo).retry_delay.seconds == 4


def test_what_is_not_meant_for_callers_is_not_told_them() -> None:
    status = status_of(errors.BadRecord("secret"))
    assert (status.code, status.message, len(status.details)) == (code_pb2.INTERNAL, "internal error", 0)


def test_long_values_are_cut() -> None:
    assert len(str(errors.InvalidArgument("symbol", "x" * 10_000, "less"))) < 300

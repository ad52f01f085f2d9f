"""gRPC channels to other processes, with the trace context sent along."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from services.runtime.telemetry import current_traceparent

_MAX_MESSAGE_BYTES = 8 << 20

_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    # A restarted service is found again within a second and not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def channel(address: str) -> grpc.aio.Channel:
    """A channel to `address` (host:port) that sends the current traceparent with each call. Connects at the first call."""
    return grpc.aio.insecure_channel(address, options=_OPTIONS, interceptors=[_UnaryTrace(), _ServerStreamTrace(), _ClientStreamTrace(), _BothStreamTrace()])


def _with_trace(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    traceparent = current_traceparent()
    if traceparent is None:
        return details
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    metadata.set_all("traceparent", [traceparent])
    return grpc.aio.ClientCallDetails(details.method, details.timeout, metadata, details.credentials, details.wait_for_ready)


Continuation = Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]]


class _UnaryTrace(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        return await continuation(_with_trace(client_call_details), request)


class _ServerStreamTrace(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        return await continuation(_with_trace(client_call_details), request)


class _ClientStreamTrace(grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any) -> Any:
        return await continuation(_with_trace(client_call_details), request_iterator)


class _BothStreamTrace(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any) -> Any:
        return await continuation(_with_trace(client_call_details), request_iterator)

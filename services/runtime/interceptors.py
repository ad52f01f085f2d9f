"""What happens around every RPC: deadline, trace, metrics, errors to statuses.

One pass around each handler: each layer of its own would cost every call a coroutine.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2, message
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode
from prometheus_client import Counter

from services.runtime import errors
from services.runtime.begun import Begun
from services.runtime.clock import Clock, SystemClock
from services.runtime.logging import get_logger
from services.runtime.metrics import GRPC_HANDLED, GRPC_IN_FLIGHT, GRPC_SECONDS, GRPC_STARTED, UNEXPECTED_ERRORS
from services.runtime.telemetry import carry_identity, is_recording, is_traceparent, span_from

#: Seconds that a unary call may take when its client sets no deadline: an answer later than this helps nobody.
DEFAULT_DEADLINE_S = 30.0

_DOMAIN = "signalbox"
_CODES: tuple[tuple[type[errors.SignalboxError], int], ...] = (
    (errors.InvalidArgument, code_pb2.INVALID_ARGUMENT),
    (errors.NotFound, code_pb2.NOT_FOUND),
    (errors.Unavailable, code_pb2.UNAVAILABLE),
    (errors.ResourceExhausted, code_pb2.RESOURCE_EXHAUSTED),
    (errors.DeadlineExceeded, code_pb2.DEADLINE_EXCEEDED),
)

_HEALTH = "/grpc.health.v1."
#: What counts as this side's error; the rest is the caller's.
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})

_log = get_logger("grpc")

if TYPE_CHECKING:
    # Generic in the type stubs only.
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]


def status_of(error: errors.SignalboxError) -> status_pb2.Status:
    """The gRPC status of an error of ours, with google.rpc details. Errors that are not meant for callers become INTERNAL."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    if code == code_pb2.INTERNAL:
        return status_pb2.Status(code=code, message="internal error")
    return status_pb2.Status(code=code, message=str(error), details=[_packed(detail) for detail in _details(error)])


def _details(error: errors.SignalboxError) -> list[message.Message]:
    details: list[message.Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN, metadata=dict(error.metadata()))]
    if isinstance(error, errors.InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    elif isinstance(error, errors.NotFound):
        details.append(error_details_pb2.ResourceInfo(resource_type=error.kind, resource_name=error.name))
    elif isinstance(error, errors.Unavailable | errors.ResourceExhausted):
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=0, seconds=max(1, round(error.retry_after_s)))))
    return details


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


class CallWrapper:
    """Wraps the handler of each RPC.

    deadline_s: limit of a unary call whose client sets no deadline. Streams have none of their own; cancelling them is always respected.
    """

    def __init__(self, deadline_s: float = DEFAULT_DEADLINE_S, clock: Clock | None = None) -> None:
        self._deadline_s = deadline_s
        self._clock = clock or SystemClock()
        self._meters: dict[str, _Meters] = {}

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler with everything around it. method: its full name, /package.Service/Method. To be called once for each method."""
        # What gRPC fails to parse before it calls us is not the caller's fault to it, and nobody counts it. So one request is parsed in here;
        # those of a stream are parsed as the behaviour reads them, which is in here too.
        parse, serializer = _parser(method, handler.request_deserializer), handler.response_serializer
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._single(method, handler.unary_unary, parse, limited=True), None, serializer)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._single(method, handler.stream_unary, _as_it_is, limited=False), parse, serializer)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream, parse), None, serializer)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream, _as_it_is), parse, serializer)
        raise TypeError(f"{method}: the handler has no behaviour")

    def _single(self, method: str, behaviour: Callable[..., Any], parse: Callable[[Any], Any], *, limited: bool) -> Callable[..., Any]:
        answer = partial(self._limited, behaviour) if limited else behaviour

        async def call(request: Any, context: Context) -> Any:
            async with self._around(method, context, streams=not limited):
                return await answer(parse(request), context)

        if not limited or method.startswith(_HEALTH):
            return call
        meters = self._meters_of(method)

        async def lean(request: Any, context: Context) -> Any:
            """As `call` where no spans are recorded, in half the time: this is around every short call."""
            if is_recording():
                return await call(request, context)
            carry_identity(lambda: _traceparent(context))
            began = meters.begin(self._clock)
            ended: BaseException | None = None
            try:
                return await answer(parse(request), context)
            except BaseException as error:
                ended = error
                await _refuse(method, context, error)
                raise
            finally:
                meters.end(_ending(context, ended), self._clock.monotonic_ns() - began)

        return lean

    async def _limited(self, behaviour: Callable[..., Any], request: Any, context: Context) -> Any:
        coroutine = behaviour(request, context)
        if context.time_remaining() is not None:
            return await coroutine
        try:
            waits_for = coroutine.send(None)
        except StopIteration as answered:
            # It waited for nothing, as what is answered from memory: a timer would cost more than the answer.
            return answered.value
        try:
            async with asyncio.timeout(self._deadline_s):
                return await Begun(coroutine, waits_for)
        except TimeoutError as error:
            raise errors.DeadlineExceeded(self._deadline_s) from error

    def _stream(self, method: str, behaviour: Callable[..., Any], parse: Callable[[Any], Any]) -> Callable[..., Any]:
        async def generate(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._around(method, context, streams=True):
                async for response in behaviour(parse(request), context):
                    yield response

        async def write(request: Any, context: Context) -> None:
            async with self._around(method, context, streams=True):
                await behaviour(parse(request), context)

        return generate if inspect.isasyncgenfunction(behaviour) else write

    def _around(self, method: str, context: Context, *, streams: bool) -> _Around:
        return _Around(self._meters_of(method), context, self._clock, streams)

    def _meters_of(self, method: str) -> _Meters:
        meters = self._meters.get(method)
        if meters is None:
            meters = self._meters[method] = _Meters(method)
        return meters


def _parser(method: str, deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A deserializer that raises InvalidArgument for what is none of the method's requests; without one, bytes are left as they are."""
    if deserializer is None:
        return _as_it_is

    def parse(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError as error:
            raise errors.InvalidArgument("message", f"{len(data)} bytes", f"a serialised request of {method.removeprefix('/')}: {error}") from error

    return parse


def _as_it_is(request: Any) -> Any:
    return request


class _Meters:
    """The metrics of one method, looked up once: labels cost more than counting."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.started = GRPC_STARTED.labels(method)
        self.in_flight = GRPC_IN_FLIGHT.labels(method)
        self.seconds = GRPC_SECONDS.labels(method)
        self._handled: dict[str, Counter] = {}

    def begin(self, clock: Clock) -> int:
        """A call begins; the clock's monotonic time."""
        self.started.inc()
        self.in_flight.inc()
        return clock.monotonic_ns()

    def end(self, code: str, took_ns: int) -> None:
        """A call ended with a code."""
        self.in_flight.dec()
        handled = self._handled.get(code)
        if handled is None:
            handled = self._handled[code] = GRPC_HANDLED.labels(self.method, code)
        handled.inc()
        self.seconds.observe(took_ns / 1e9)


class _Around:
    """What happens around one call. Not a generator, which costs every call ten microseconds more."""

    __slots__ = ("_began", "_clock", "_context", "_meters", "_span", "_span_context")

    def __init__(self, meters: _Meters, context: Context, clock: Clock, streams: bool) -> None:
        self._meters, self._context, self._clock = meters, context, clock
        self._span_context = _span(meters.method, context, streams)

    async def __aenter__(self) -> None:
        self._began = self._meters.begin(self._clock)
        self._span = self._span_context.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await _refuse(self._meters.method, self._context, error)
        finally:
            _describe(self._span, self._meters.method, self._context)
            self._span_context.__exit__(kind, error, trace)
            self._meters.end(_ending(self._context, error), self._clock.monotonic_ns() - self._began)


def _ending(context: Context, error: BaseException | None) -> str:
    """The name of the code that a call ended with."""
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    if error is not None and not isinstance(error, Exception):
        return "UNKNOWN"
    return _code_name(context)


async def _refuse(method: str, context: Context, error: BaseException | None) -> None:
    """Ends the call with the error's status, unless there is none or the call is over. Raises AbortError."""
    if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
        await _abort(method, context, error)


async def _abort(method: str, context: Context, error: Exception) -> None:
    """Ends the call with the error's status. Raises AbortError."""
    if not isinstance(error, errors.SignalboxError):
        await _abort_unexpected(method, context, error)
        return
    status = status_of(error)
    if status.code == code_pb2.INTERNAL:
        await _abort_unexpected(method, context, error)
    await context.abort_with_status(rpc_status.to_status(status))


async def _abort_unexpected(method: str, context: Context, error: Exception) -> None:
    UNEXPECTED_ERRORS.labels("grpc").inc()
    _log.error("rpc failed", method=method, error=str(error), exc_info=error)
    await context.abort_with_status(rpc_status.to_status(status_pb2.Status(code=code_pb2.INTERNAL, message="internal error")))


def _span(method: str, context: Context, streams: bool) -> AbstractContextManager[Span]:
    """The span of a call. Streams and questions of health begin no trace: what a stream carries over hours would be one, and the others are noise."""
    parent = _traceparent(context)
    if (streams or method.startswith(_HEALTH)) and not is_traceparent(parent):
        return nullcontext(INVALID_SPAN)
    return span_from(parent, method.removeprefix("/"), SpanKind.SERVER)


def _describe(span: Span, method: str, context: Context) -> None:
    if span.is_recording():
        code = _code_name(context)
        service, _, name = method.removeprefix("/").rpartition("/")
        number = grpc.StatusCode[code].value[0] if code in grpc.StatusCode.__members__ else grpc.StatusCode.UNKNOWN.value[0]
        span.set_attributes({"rpc.system": "grpc", "rpc.service": service, "rpc.method": name, "rpc.grpc.status_code": number})
        if code in _SERVER_ERRORS:
            span.set_status(StatusCode.ERROR, code)


def _traceparent(context: Context) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return None


def _code_name(context: Context) -> str:
    # grpc.aio gives back what was set: nothing, a number, or (after abort_with_status) a StatusCode.
    code: object = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return code_pb2.Code.Name(code) if isinstance(code, int) else "OK"

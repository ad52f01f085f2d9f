"""Which handler answers a method, looked up in one step and wrapped once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import grpc

from services.runtime.interceptors import CallWrapper

if TYPE_CHECKING:
    # Generic in the type stubs only.
    Handler = grpc.RpcMethodHandler[Any, Any]


class Handlers(grpc.GenericRpcHandler):
    """All methods of a server, as its one generic handler. Generated code adds services to it as if it were the server.

    Nothing is registered with grpc.aio itself, which waits for each registered method apart: every call then costs a callback for each of them.
    Nor is it given an interceptor, which would be three coroutines more around each call.
    """

    def __init__(self, wrapper: CallWrapper) -> None:
        self._wrapper = wrapper
        self._registered: dict[str, Handler] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._wrapped: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As a grpc.aio.Server's. The first that knows a method counts."""
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """As a grpc.aio.Server's. Of two for a method the later one counts, and counts before a generic one."""
        self._registered.update({f"/{service_name}/{name}": handler for name, handler in method_handlers.items()})

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The wrapped handler of a method; None for a method that nobody has."""
        known = self._wrapped.get(handler_call_details.method)
        return known if known is not None else self._found(handler_call_details)

    def _found(self, details: grpc.HandlerCallDetails) -> Handler | None:
        handler = self._registered.get(details.method) or next(filter(None, (generic.service(details) for generic in self._generic)), None)
        # What is unknown is not remembered: a client may ask for any number of names.
        if handler is None:
            return None
        self._wrapped[details.method] = wrapped = self._wrapper.wrap(details.method, handler)
        return wrapped

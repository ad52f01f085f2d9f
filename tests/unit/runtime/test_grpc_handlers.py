"""Which handler answers a method."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc

from services.runtime.grpc_handlers import Handlers
from services.runtime.interceptors import CallWrapper

SERVICE = "test.Echo"


class Wrapper(CallWrapper):
    """Wraps nothing, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.wrapped: list[str] = []

    def wrap(self, method: str, handler: Any) -> Any:
        self.wrapped.append(method)
        return handler


def handler_of() -> Any:
    return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def generic(**handlers: Any) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def asked(handlers: Handlers, method: str) -> Any:
    return handlers.service(SimpleNamespace(method=f"/{SERVICE}/{method}", invocation_metadata=()))


def test_the_later_of_two_registered_counts_and_counts_before_a_generic_one() -> None:
    first, second, other = handler_of(), handler_of(), handler_of()
    handlers = Handlers(Wrapper())
    handlers.add_registered_method_handlers(SERVICE, {"Get": first})
    handlers.add_generic_rpc_handlers([generic(Get=other, List=other)])
    handlers.add_registered_method_handlers(SERVICE, {"Get": second})
    assert asked(handlers, "Get") is second
    assert asked(handlers, "List") is other


def test_the_first_generic_handler_that_knows_a_method_counts() -> None:
    first, second = handler_of(), handler_of()
    handlers = Handlers(Wrapper())
    handlers.add_generic_rpc_handlers([generic(Get=first)])
    handlers.add_generic_rpc_handlers([generic(Get=second, List=second)])
    assert asked(handlers, "Get") is first
    assert asked(handlers, "List") is second


def test_a_method_is_wrapped_once() -> None:
    wrapper = Wrapper()
    handlers = Handlers(wrapper)
    handlers.add_registered_method_handlers(SERVICE, {"Get": handler_of()})
    assert asked(handlers, "Get") is asked(handlers, "Get")
    assert wrapper.wrapped == [f"/{SERVICE}/Get"]


def test_what_nobody_has_is_not_wrapped() -> None:
    wrapper = Wrapper()
    handlers = Handlers(wrapper)
    handlers.add_generic_rpc_handlers([generic(Get=handler_of())])
    assert asked(handlers, "Put") is None
    assert wrapper.wrapped == []

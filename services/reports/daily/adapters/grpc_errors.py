"""What a failed call means."""

import grpc

from services.runtime.errors import Unavailable


def unavailable(service: str, error: grpc.aio.AioRpcError) -> Unavailable:
    """Every failed call of collecting means the same: this service gave no answer, and why."""
    return Unavailable(service, f"{error.code().name}: {(error.details() or '').strip()[:200]}")

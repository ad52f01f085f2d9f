"""`python -m services.news.rebuild`: the running service builds its views anew from the topics, and says what they hold."""

from __future__ import annotations

import asyncio
import sys

import grpc
from pydantic import Field
from signalbox.news.v1 import news_service_pb2 as pb
from signalbox.news.v1.news_service_pb2_grpc import NewsServiceStub

from services.runtime.grpc_client import channel
from services.runtime.setting_types import Address
from services.runtime.settings import RuntimeSettings, load_settings

#: As long as the most articles that are kept may take.
_DEADLINE_S = 120.0


class RebuildSettings(RuntimeSettings):
    """What `python -m services.news.rebuild` reads from the environment."""

    news_address: Address = Field(default="127.0.0.1:50053", validation_alias="SIGNALBOX_NEWS_ADDRESS")
    """Address of the news service, host:port."""


async def rebuild(address: str) -> pb.RebuildViewsResponse:
    """Asks for it and waits. Raises grpc.aio.AioRpcError."""
    async with channel(address) as open_channel:
        return await NewsServiceStub(open_channel).RebuildViews(pb.RebuildViewsRequest(), timeout=_DEADLINE_S)


def main() -> int:
    """Exit code 1 when the service does not answer or refuses."""
    settings = load_settings(RebuildSettings)
    try:
        done = asyncio.run(rebuild(settings.news_address))
    except grpc.aio.AioRpcError as error:
        sys.stderr.write(f"{settings.news_address}: {error.code().name}: {error.details()}\n")
        return 1
    sys.stdout.write(f"{done.articles} articles, {done.indexed} in the index, {done.feeds} feeds; {done.seconds:.2f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

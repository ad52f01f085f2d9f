"""What all tests share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.scheduling import UnitScheduling

# Before gRPC is loaded: its handlers of a fork start a poller in the child, which aborts it before the program that we start runs
# (https://github.com/grpc/grpc/issues/43055). Nothing here calls gRPC in a forked child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

pytest_plugins = ["tests.servers"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> UnitScheduling | None:
    """Ours in place of `--dist loadfile`."""
    from tests.scheduling import UnitScheduling

    return UnitScheduling(config, log) if config.option.dist == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker of several; a single process runs the files in the order of their names."""
    if hasattr(config, "workerinput"):
        from tests.scheduling import put_in_order

        put_in_order(items)

"""What all integration tests have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def partitions() -> Iterator[None]:
    """Four partitions for whoever does not say another number: more than the default, so that more can go to the wrong one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALBOX_PARTITIONS", "4")
        yield

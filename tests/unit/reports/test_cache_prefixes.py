"""What cache.clean may touch."""

from __future__ import annotations

import ast

import pytest

from services.reports.cache_clean import CACHES, cache_prefixes
from services.runtime.errors import InvalidArgument
from services.runtime.job_queue.store import PREFIX
from tests.servers import REPOSITORY


def test_nothing_asked_means_every_cache() -> None:
    assert cache_prefixes([]) == [f"{cache}:" for cache in CACHES]


def test_a_cache_or_a_part_of_one_may_be_named() -> None:
    assert cache_prefixes(["analysis", "analysis:v1:", "analysis:"]) == ["analysis:", "analysis:v1:"]


@pytest.mark.parametrize("prefix", ["", "*", "a", "analysi", "analysis2:", "signalbox:", PREFIX, "streaq:", "\0analysis:"])
def test_what_is_no_cache_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidArgument, match=r"prefixes: expected one that begins with analysis:"):
        cache_prefixes([prefix])


def test_the_list_of_caches_is_that_of_the_code() -> None:
    assert sorted(CACHES) == sorted(set(_names_given_to_caches()))


def _names_given_to_caches() -> list[str]:
    names = []
    for path in sorted([*(REPOSITORY / "services").rglob("*.py"), *(REPOSITORY / "gateway").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Cache":
                prefix = node.args[1]
                assert isinstance(prefix, ast.Constant), f"{path}:{node.lineno}: a cache whose name cannot be read here"
                names.append(str(prefix.value))
    return names

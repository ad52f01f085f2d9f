"""No function is longer than a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import REPOSITORY

MAX_LINES = 60


@pytest.mark.parametrize("folder", ["services", "gateway", "deploy", "tests"])
def test_no_function_is_longer_than_sixty_lines(folder: str) -> None:
    files = sorted((REPOSITORY / folder).rglob("*.py"))
    assert files
    assert [found for file in files for found in _too_long(file)] == []


def _too_long(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_LINES:
                yield f"{file.relative_to(REPOSITORY)}:{node.lineno} {node.name}: {lines} lines"

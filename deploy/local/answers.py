"""How commands answer: JSON for programs, tables for people, and failures in one line with what to do about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def dump(value: object) -> None:
    """Prints it as JSON."""
    print(json.dumps(value, indent=2, default=str))


def console(*, stderr: bool = False) -> Console:
    """Where people read."""
    from rich.console import Console

    return Console(stderr=stderr)


@contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """What goes wrong is said in one line with what to do about it; exit code 1."""
    from deploy.local.errors import StackError

    try:
        yield
    except StackError as error:
        if as_json:
            print(json.dumps({"error": error.message, "hint": error.hint}))
        else:
            from deploy.local.run import report

            report(console(stderr=True), error)
        raise typer.Exit(1) from error

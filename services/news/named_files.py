"""Files that settings name. They are read when the setting is, so that what is wrong in them is found with all other mistakes."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def _with_feeds(path: Path) -> Path:
    # Loads the adapters, which those who only list settings do without.
    from services.news.errors import WrongFeeds
    from services.news.feeds.config import load_feeds

    try:
        load_feeds(path)
    except WrongFeeds as error:
        raise ValueError(f"a file of feeds without mistakes: {_in_one_line(*error.problems)}") from error
    return path


def _with_aliases(path: Path) -> Path:
    from services.news.aliases import WrongAliases, load_aliases

    try:
        load_aliases(path)
    except WrongAliases as error:
        raise ValueError(f"a table of aliases without mistakes: {_in_one_line(error.problem)}") from error
    return path


def _in_one_line(*problems: str) -> str:
    return "; ".join(" ".join(problem.split()) for problem in problems)


FeedsFile = Annotated[Path, AfterValidator(_with_feeds)]
"""A file of feeds."""
AliasesFile = Annotated[Path, AfterValidator(_with_aliases)]
"""A table of what companies are called."""

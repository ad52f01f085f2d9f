"""The file of feeds: what may be in it, and what is said when it is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from services.news.adapters.registry import ADAPTERS
from services.news.errors import WrongFeeds
from services.news.feeds.feed import DEFAULT_FEEDS_FILE, Feed

#: No server is asked more often than this.
LEAST_INTERVAL_S = 300.0

_SYMBOL = r"^[A-Z0-9_=^-]+\.[A-Z0-9_=^-]+$"
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d)$")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def _seconds(value: object) -> object:
    if isinstance(value, str) and (found := _DURATION.match(value.strip())):
        return float(found[1]) * _UNITS[found[2]]
    raise ValueError("a number and s, m, h or d, as in 15m")


class FeedEntry(BaseModel):
    """One entry of the file: one feed, or one for each symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    """Unique; small letters, digits and hyphens."""
    adapter: str = "rss"
    """One of services/news/adapters."""
    url: str = Field(default="", pattern=r"^$|^https?://[^\s/]+\S*$")
    """Address; with `{symbol}` for a feed by symbol."""
    interval: Annotated[float, BeforeValidator(_seconds)] = Field(default=900.0, gt=0, le=86_400)
    """How often it is asked, `15m`; at least 5m unless it is recorded."""
    language: str = Field(default="", pattern=r"^([a-z]{2})?$")
    """ISO 639-1, for feeds that do not tell."""
    time_zone: str = ""
    """IANA zone of dates that name none, `America/New_York`."""
    publisher: str = Field(default="", max_length=100)
    """For items that name none."""
    symbols: tuple[Annotated[str, Field(pattern=_SYMBOL)], ...] = ()
    """Symbols of a feed by symbol, ticker dot MIC."""
    file: str = ""
    """The recorded feed's file, relative to the file of feeds."""
    items_each: int = Field(default=3, ge=1, le=1_000)
    """Items that a recorded feed plays at each crawl."""

    @field_validator("adapter")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ADAPTERS:
            raise ValueError(f"one of {', '.join(sorted(ADAPTERS))}")
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key if value else value
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("an IANA time zone as America/New_York") from error

    @model_validator(mode="after")
    def _fits(self) -> FeedEntry:
        is_file = ADAPTERS[self.adapter].reads_file
        problems = {
            "file: a recorded feed needs one, and none other may have one": is_file != bool(self.file),
            "url: needed unless the feed is recorded": not is_file and not self.url,
            "url: {symbol} goes with symbols, symbols with {symbol}": ("{symbol}" in self.url) != bool(self.symbols),
            f"interval: at least {LEAST_INTERVAL_S / 60:g}m for a feed from a server": not is_file and self.interval < LEAST_INTERVAL_S,
        }
        if wrong := [text for text, is_wrong in problems.items() if is_wrong]:
            raise ValueError("; ".join(wrong))
        return self

    def feeds(self, folder: Path) -> tuple[Feed, ...]:
        """The feeds of this entry. folder: where `file` is looked for."""
        adapter = ADAPTERS[self.adapter]
        if not self.symbols:
            return (self._feed(self.name, self.url, "", "", folder),)
        mentions = [(symbol, adapter.symbol_in_url(symbol)) for symbol in self.symbols]
        return tuple(self._feed(f"{self.name}/{symbol}", self.url.replace("{symbol}", mention), symbol, mention, folder) for symbol, mention in mentions)

    def _feed(self, name: str, url: str, symbol: str, mention: str, folder: Path) -> Feed:
        return Feed(
            name=name,
            adapter=self.adapter,
            url=url,
            interval_s=self.interval,
            language=self.language,
            assumed_zone=ZoneInfo(self.time_zone) if self.time_zone else ADAPTERS[self.adapter].assumed_zone,
            publisher=self.publisher,
            symbol=symbol,
            mention=mention,
            file=folder / self.file if self.file else None,
            items_each=self.items_each,
        )


class _FeedsFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    feeds: tuple[FeedEntry, ...] = Field(min_length=1, max_length=1_000)


def load_feeds(path: Path = DEFAULT_FEEDS_FILE) -> tuple[Feed, ...]:
    """The feeds of a file, in its order, feeds by symbol spread out. Raises WrongFeeds naming every mistake: field, value, expected."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WrongFeeds(path, [f"expected a readable YAML file: {error}"]) from error
    try:
        parsed = _FeedsFile.model_validate(content)
    except ValidationError as error:
        # Where entries are wrong pydantic says besides that too few are left.
        mistakes = [item for item in error.errors() if item["type"] != "too_short" or not item["input"]] or error.errors()
        raise WrongFeeds(path, [_problem(item["loc"], item["input"], item["msg"], content) for item in mistakes]) from error
    feeds = tuple(feed for entry in parsed.feeds for feed in entry.feeds(path.parent))
    _check(path, feeds)
    return feeds


def _check(path: Path, feeds: tuple[Feed, ...]) -> None:
    twice = [name for name, count in Counter(feed.name for feed in feeds).items() if count > 1]
    problems = [f"name: expected each once, was {name!r} several times" for name in twice]
    problems += [f"{feed.name}: file: expected a file that exists, was {str(feed.file)!r}" for feed in feeds if feed.file and not feed.file.is_file()]
    if problems:
        raise WrongFeeds(path, problems)


def _problem(loc: tuple[int | str, ...], value: object, message: str, content: object) -> str:
    where = ".".join(str(part) for part in loc) or "file"
    expected = message.removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("String should ")
    shown = f", was {str(value)[:80]!r}" if not isinstance(value, Mapping) else ""
    return f"{where}{_name_at(loc, content)}: expected {expected}{shown}"


def _name_at(loc: tuple[int | str, ...], content: Any) -> str:
    """The name of the feed that a place in the file is about, for people."""
    if len(loc) < 2 or not isinstance(loc[1], int) or not isinstance(content, Mapping):
        return ""
    entry = content["feeds"][loc[1]]
    return f" ({entry['name']})" if isinstance(entry, Mapping) and isinstance(entry.get("name"), str) else ""

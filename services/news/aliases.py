"""The table of aliases: listings with the names that they are known by, read from YAML and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.runtime.errors import SignalboxError

_NAME_WORD = re.compile(r"[^\W_]+(?:[&'’.][^\W_]+)*")
_SYMBOL = r"^[A-Z0-9_=^-]+\.[A-Z0-9_=^-]+$"


class WrongAliases(SignalboxError):
    """The table of aliases cannot be used."""

    reason = "WRONG_ALIASES"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol that can be written as a ticker."""

    symbol: str
    mic: str
    is_word: bool
    """Whether its ticker alone in parentheses means other things too."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a company goes by."""

    words: tuple[str, ...]
    symbols: tuple[str, ...]
    is_ambiguous: bool = False
    """Whether it also means something else."""
    veto: frozenset[str] = frozenset()
    """Words, lower case, that anywhere in an article say that the other thing is meant."""
    not_before: frozenset[str] = frozenset()
    """The same for the word right after it."""
    not_after: frozenset[str] = frozenset()
    """The same for the word right before it."""


@dataclass(frozen=True, slots=True)
class AliasTable:
    """Everything that links are found by."""

    listings: Mapping[str, Listing]
    """By ticker, with `-` before a class of shares."""
    names: tuple[Name, ...]
    context: frozenset[str]
    """Words of finance, lower case."""
    suffixes: frozenset[str]
    """What follows a company's name, lower case."""
    exchanges: Mapping[str, frozenset[str]]
    """MICs by what an exchange is called in parentheses, upper case without dots."""


def _one_word(text: str) -> str:
    if not _NAME_WORD.fullmatch(text) or text.endswith("'s"):
        raise ValueError(f"expected one word as the text is cut into words, without hyphen or possessive ending, was {text!r}")
    return text.lower()


_Word = Annotated[str, AfterValidator(_one_word)]


class _Company(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    symbols: list[str] = Field(min_length=1)
    names: list[str] = []
    ambiguous: list[str] = []
    veto: frozenset[_Word] = frozenset()
    not_before: frozenset[_Word] = frozenset()
    not_after: frozenset[_Word] = frozenset()
    ticker_is_word: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    context: frozenset[_Word]
    suffixes: frozenset[_Word]
    exchanges: dict[str, list[str]]
    companies: list[_Company]


def load_aliases(path: Path) -> AliasTable:
    """The table in a YAML file. Raises WrongAliases, naming the file and each mistake."""
    try:
        # The base loader leaves words as they are: YAML's others take `on` and `no` for true and false.
        content = _File.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader))
    except OSError as error:
        raise WrongAliases(path, f"cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise WrongAliases(path, f"is not YAML: {error}") from error
    except ValidationError as error:
        raise WrongAliases(path, "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())) from error
    return AliasTable(
        listings=_listings(path, content.companies),
        names=tuple(name for company in content.companies for name in _names(path, company)),
        context=content.context,
        suffixes=content.suffixes,
        exchanges={name.upper().replace(".", ""): frozenset(mics) for name, mics in content.exchanges.items()},
    )


def _listings(path: Path, companies: list[_Company]) -> dict[str, Listing]:
    listings: dict[str, Listing] = {}
    for company in companies:
        for symbol in company.symbols:
            if not re.match(_SYMBOL, symbol):
                raise WrongAliases(path, f"expected ticker dot MIC, was {symbol!r}")
            ticker, _, mic = symbol.partition(".")
            if ticker in listings:
                raise WrongAliases(path, f"the ticker {ticker} is there twice")
            listings[ticker] = Listing(symbol, mic, company.ticker_is_word)
    return listings


def _names(path: Path, company: _Company) -> list[Name]:
    sure = [Name(_split(path, text), tuple(company.symbols)) for text in company.names]
    hints = company.veto, company.not_before, company.not_after
    return sure + [Name(_split(path, text), tuple(company.symbols), True, *hints) for text in company.ambiguous]


def _split(path: Path, text: str) -> tuple[str, ...]:
    words = tuple(word.replace("’", "'") for word in _NAME_WORD.findall(text))
    if not words:
        raise WrongAliases(path, f"a name without words: {text!r}")
    return words

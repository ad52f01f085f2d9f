"""Which symbols an article is about: a table of sentences, and what the table of aliases must not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.news.aliases import WrongAliases, load_aliases
from services.news.domain import SymbolLink
from services.news.links import ALIASES, Linker

LINKER = Linker.from_file()

POSITIVE = [
    ("Apple's profit rises as iPhone sales jump", "AAPL.XNAS", "Apple", "name"),
    ("Apple Inc. names a new head of design", "AAPL.XNAS", "Apple Inc", "name"),
    ("8-K - APPLE INC (0000320193) (Filer)", "AAPL.XNAS", "APPLE INC", "name"),
    ("Shares of the company (NASDAQ: AAPL) rose", "AAPL.XNAS", "(NASDAQ: AAPL)", "ticker"),
    ("Shares of the company (NASDAQ:AAPL, ISIN US0378331005) rose", "AAPL.XNAS", "(NASDAQ:AAPL, ISIN US0378331005)", "ticker"),
    ("iPhone maker (AAPL) opens a campus", "AAPL.XNAS", "(AAPL)", "ticker"),
    ("Watching $AAPL today", "AAPL.XNAS", "$AAPL", "cashtag"),
    ("Long $F, short nothing", "F.XNYS", "$F", "cashtag"),
    ("Ford (F) cuts its outlook", "F.XNYS", "(F)", "ticker"),
    ("Ford Motor (NYSE: F) recalls trucks", "F.XNYS", "(NYSE: F)", "ticker"),
    ("Berkshire buys more (NYSE: BRK.B)", "BRK-B.XNYS", "(NYSE: BRK.B)", "ticker"),
    ("Meta stock falls after earnings", "META.XNAS", "Meta", "name"),
    ("Facebook to hire 1,000 in London", "FB.XNAS", "Facebook", "name"),
    ("Alphabet revenue tops estimates", "GOOG.XNAS", "Alphabet", "name"),
    ("Google fined in France", "GOOGL.XNAS", "Google", "name"),
    ("IBM to buy Red Hat", "IBM.XNYS", "IBM", "name"),
    ("Microsoft’s cloud grows", "MSFT.XNAS", "Microsoft", "name"),
    ("S&P 500 futures slip before the bell", "ES.XCME", "S&P 500 futures", "name"),
    ("Visa profit beats estimates on travel", "V.XNYS", "Visa", "name"),
    ("Gap shares jump 10% on Old Navy", "GAP.XNYS", "Gap", "name"),
    ("Target cuts profit outlook", "TGT.XNYS", "Target", "name"),
    ("Delta raises its quarterly dividend", "DAL.XNYS", "Delta", "name"),
    ("Amazon buys a warehouse startup", "AMZN.XNAS", "Amazon", "name"),
    ("Lowe’s beats estimates", "LOW.XNYS", "Lowe’s", "name"),
    ("McDonald's sales fall", "MCD.XNYS", "McDonald's", "name"),
    ("AT&T sells its stake", "T.XNYS", "AT&T", "name"),
    ("J.P. Morgan lifts its forecast", "JPM.XNYS", "J.P. Morgan", "name"),
    ("Coca-Cola and its bottler", "KO.XNYS", "Coca-Cola", "name"),
    ("Apple-owned Beats recalls speakers, shares slip", "AAPL.XNAS", "Apple", "name"),
]

NEGATIVE = [
    ("Apple pie recipe wins at the county fair", "AAPL.XNAS"),
    ("Apple juice maker's shares fall", "AAPL.XNAS"),
    ("Apple growers expect a record harvest and higher sales", "AAPL.XNAS"),
    ("Apple falls not far from the tree", "AAPL.XNAS"),
    ("The Big Apple's budget: a billion short", "AAPL.XNAS"),
    ("An apple a day", "AAPL.XNAS"),
    ("Pineapple prices rise, and Snapple sales", "AAPL.XNAS"),
    ("Visa rules tightened for students", "V.XNYS"),
    ("Tech companies oppose H-1B Visa limits", "V.XNYS"),
    ("US Visa fee for skilled workers raised, company shares fall", "V.XNYS"),
    ("Wage Gap Widens as Profits Rise", "GAP.XNYS"),
    ("Gap between rich and poor grows as markets rally", "GAP.XNYS"),
    ("Analyst raises price Target on stock", "TGT.XNYS"),
    ("ECB misses inflation Target, markets fall", "TGT.XNYS"),
    ("Meta Analysis of stock returns", "META.XNAS"),
    ("Delta variant weighs on stocks", "DAL.XNYS"),
    ("Amazon rainforest deforestation: investors protest", "AMZN.XNAS"),
    ("Ford Foundation gives a million", "F.XNYS"),
    ("Harrison Ford buys a company", "F.XNYS"),
    ("Oracle of Omaha buys shares", "ORCL.XNYS"),
    ("The report (LSE: IBM) is about another one", "IBM.XNAS"),
    ("It costs $5 and $1,000 (A) (IT)", "F.XNYS"),
    ("Plan (F) is not a company", "F.XNYS"),
    ("All of them (ALL) agreed", "ALL.XNYS"),
    ("US$AAPLE and $aapl and A$AAPL", "AAPL.XNAS"),
    ("Dow falls 200 points", "DOW.XNYS"),
    ("Shell companies hide debt", "SHEL.XNYS"),
    ("Human Intel officers warned the market", "INTC.XNAS"),
    ("target price of gap apple visa meta", "TGT.XNYS"),
]


@pytest.mark.parametrize(("text", "symbol", "mention", "rule"), POSITIVE)
def test_is_linked(text: str, symbol: str, mention: str, rule: str) -> None:
    assert SymbolLink(symbol, mention, rule) in LINKER.link(text, "")


@pytest.mark.parametrize(("text", "symbol"), NEGATIVE)
def test_is_not_linked(text: str, symbol: str) -> None:
    assert symbol not in {link.symbol for link in LINKER.link(text, "")}


def test_context_counts_from_anywhere_in_the_article() -> None:
    assert LINKER.link("Apple opens a new building", "") == ()
    assert [link.symbol for link in LINKER.link("Apple opens a new building", "Its shares were flat.")] == ["AAPL.XNAS"]


def test_a_name_does_not_reach_from_the_title_into_the_summary() -> None:
    assert LINKER.link("What is new at Bank of", "America goes to the polls") == ()


def test_each_symbol_once_by_the_surest_rule_and_the_feeds_own_first() -> None:
    feed = SymbolLink("MSFT.XNAS", "MSFT", "feed")
    found = LINKER.link("Microsoft and Apple (NASDAQ: AAPL) stocks, $IBM", "IBM again (IBM)", (feed,))
    assert found == (feed, SymbolLink("IBM.XNYS", "$IBM", "cashtag"), SymbolLink("AAPL.XNAS", "(NASDAQ: AAPL)", "ticker"))


def test_a_ticker_needs_its_own_exchange() -> None:
    assert LINKER.link("Somebody (NYSE: AAPL) is wrong", "") == ()


@given(st.text(max_size=200))
def test_any_text_can_be_looked_at(text: str) -> None:
    for link in LINKER.link(text, text):
        assert link.mention in text


def test_the_table_has_the_symbols_of_the_demonstration() -> None:
    listings = {listing.symbol for listing in load_aliases(ALIASES).listings.values()}
    assert {"AAPL.XNAS", "FB.XNAS", "GOOG.XNAS", "IBM.XNYS", "MSFT.XNAS", "ES.XCME"} <= listings
    assert len(listings) >= 200


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("companies: [", "is not YAML"),
        ("context: []\nsuffixes: []\nexchanges: {}\ncompanies: [{symbols: [AAPL]}]", "expected ticker dot MIC, was 'AAPL'"),
        ("context: []\nsuffixes: []\nexchanges: {}\ncompanies: [{symbols: [A.XNYS]}, {symbols: [A.XNAS]}]", "the ticker A is there twice"),
        ("context: []\nsuffixes: []\nexchanges: {}\ncompanies: [{symbols: [A.XNYS], names: ['!']}]", "a name without words"),
        ("context: []\nsuffixes: []\nexchanges: {}\ncompanies: [{symbol: A.XNYS}]", "companies.0.symbol"),
        ("context: [h-1b]\nsuffixes: []\nexchanges: {}\ncompanies: []", "expected one word as the text is cut into words"),
        ("context: []", "Field required"),
    ],
)
def test_a_wrong_table_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "aliases.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongAliases, match=r"aliases\.yaml") as caught:
        load_aliases(path)
    assert problem in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongAliases, match="cannot be read"):
        load_aliases(tmp_path / "none.yaml")

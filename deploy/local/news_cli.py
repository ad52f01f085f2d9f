"""`signalbox news`: articles, stories, full text and feeds, over REST through the edge."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.local.answers import AsJson, console, dump
from deploy.local.edge_rest import edge, failures

if TYPE_CHECKING:
    from rich.table import Table

AsOf = Annotated[str, typer.Option("--as-of", help="As known at this time, 2026-04-23T14:30:00Z; now when it is not given.")]
Last = Annotated[int, typer.Option("--last", "-n", min=1, max=200, help="How many.")]

app = typer.Typer(no_args_is_help=True, help="What has been published, and when we knew it.")

_MARKS = {"positive": "[green]+[/]", "negative": "[red]-[/]", "neutral": " "}


@app.command("list")
def list_articles(
    symbols: Annotated[list[str] | None, typer.Argument(help="Ticker dot MIC; all when none is named.")] = None,
    feed: Annotated[list[str] | None, typer.Option("--feed", "-f", help="Of this feed; may be repeated.")] = None,
    last: Last = 20,
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """The newest articles."""
    query = [("page_size", str(last)), *(("symbols", symbol) for symbol in symbols or ()), *(("feeds", name) for name in feed or ()), *_time_of(as_of)]
    with failures(as_json):
        found = edge().get("/v1/news/articles", query)
        if as_json:
            dump(found)
            return
        _show_articles(found.get("articles", []))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='Words, "phrases", title:word, -word.')],
    last: Last = 20,
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Articles by their text, best first."""
    with failures(as_json):
        found = edge().get("/v1/news/articles:search", [("query", query), ("page_size", str(last)), *_time_of(as_of)])
        if as_json:
            dump(found)
            return
        _show_articles([hit["article"] for hit in found.get("hits", [])])


@app.command()
def story(identity: Annotated[str, typer.Argument(metavar="STORY", help="As `list --json` names it.")], as_of: AsOf = "", as_json: AsJson = False) -> None:
    """A story with its articles, first received first."""
    with failures(as_json):
        found = edge().get(f"/v1/news/stories/{urllib.parse.quote(identity, safe='')}", _time_of(as_of))
        if as_json:
            dump(found)
            return
        _show_articles(found["story"]["articles"])


@app.command()
def feeds(as_json: AsJson = False) -> None:
    """The feeds, and since when one could not be reached."""
    with failures(as_json):
        found = edge().get("/v1/news/feeds")
        if as_json:
            dump(found)
            return
        table = _table("feed", "", "last success (UTC)", "failing since (UTC)", "articles", "last error")
        for each in found.get("feeds", []):
            health = each.get("health", "").removeprefix("FEED_HEALTH_").lower()
            times = _short(each.get("last_success_at")), _short(each.get("failing_since"))
            table.add_row(each["name"], health, *times, str(each.get("articles", 0)), _plain(each.get("last_error", "")))
        console().print(table)


@app.command()
def rebuild(as_json: AsJson = False) -> None:
    """Build articles, stories and the full-text index anew from their topics; the service answers meanwhile."""
    with failures(as_json):
        found = edge().post("/v1/news:rebuild", {})
        if as_json:
            dump(found)
        else:
            print(
                f"{found.get('articles', 0)} articles, {found.get('indexed', 0)} in the index, {found.get('feeds', 0)} feeds; {found.get('seconds', 0):.2f} s"
            )


def _time_of(as_of: str) -> list[tuple[str, str]]:
    return [("as_of", as_of)] if as_of else []


def _show_articles(articles: list[dict[str, Any]]) -> None:
    table = _table("received (UTC)", "", "title", "publisher", "symbols", "story")
    for each in articles:
        symbols = " ".join(link["symbol"] for link in each.get("links", []))
        mark = _MARKS.get(each.get("sentiment", {}).get("label", ""), " ")
        told_by = each.get("publisher") or each.get("feed", "")
        recorded = " (recorded)" if each.get("is_recorded") else ""
        table.add_row(_short(each["received_at"]), mark, _plain(each.get("title", "")), _plain(told_by + recorded), symbols, each.get("story_id", ""))
    console().print(table)


def _plain(text: str) -> str:
    """Titles come from anywhere; what looks like markup in them is text."""
    from rich.markup import escape

    return escape(text)


def _short(text: str | None) -> str:
    return (text or "-")[:19].replace("T", " ").removesuffix("Z")


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for column in columns:
        table.add_column(column, no_wrap=column.endswith("(UTC)"))
    return table

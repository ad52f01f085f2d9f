"""The report as one page that opens from a file: no network, no fonts, no scripts but its own."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from services.reports.daily import model
from services.reports.daily.render import charts, formats, wording
from services.reports.daily.render.svg import chart_svg, spark_svg

_PLAIN_ID = re.compile(r"[A-Za-z0-9.]")


def render_html(report: model.DailyReportModel) -> bytes:
    """The whole page, UTF-8. The same report gives the same bytes.

    Titles, reasons and names come from outside: everything is escaped, and the page's own policy forbids any script and style but the two in it.
    """
    environment = _environment()
    style, script = _source("report.css"), _source("report.js")
    page = environment.get_template("report.html.j2").render(
        report=report,
        clock=formats.Clock(report.meta.time_zone),
        sources=wording.source_counts(report),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
    )
    return page.encode("utf-8")


def _source(name: str) -> str:
    return (files("services.reports.daily.render") / "templates" / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    # Trimmed blocks keep 500 symbols' worth of indentation out of the file.
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals.update(f=formats, w=wording, chart=_symbol_chart, spark=_spark, bar=_bar, interval=_interval, anchor=_anchor, web_link=wording.web_link)
    environment.globals.update(histogram=_histogram, breadth_history=_breadth_history, averages_history=_averages_history, horizons=model.HORIZONS)
    environment.globals.update(lacking_states=wording.LACKING)
    return environment


def _finalize(value: object) -> object:
    return formats.clean(value) if type(value) is str else value


def _policy(style: str, script: str) -> str:
    return f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _symbol_chart(report: model.SymbolReport) -> Markup:
    return Markup(chart_svg(charts.symbol_chart(report.chart, formats.clean(report.symbol), report.splits)))


def _spark(report: model.SymbolReport) -> Markup:
    return Markup(spark_svg(charts.spark(report.chart.close)))


def _histogram(histogram: model.Histogram, title: str, *, is_ratio: bool = False) -> Markup:
    return Markup(chart_svg(charts.change_histogram(histogram, title, is_ratio=is_ratio)))


def _breadth_history(history: model.MarketHistory) -> Markup:
    return Markup(chart_svg(charts.breadth_history(history)))


def _averages_history(history: model.MarketHistory) -> Markup:
    return Markup(chart_svg(charts.averages_history(history)))


def _bar(*parts: tuple[float, str]) -> Markup:
    """Shares of a whole beside each other, each in its tone."""
    at, out = 0.0, []
    for fraction, tone in parts:
        out.append(f'<rect class="{tone}" x="{at * 100:.2f}%" width="{fraction * 100:.2f}%" height="100%"/>')
        at += fraction
    return Markup(f'<svg class="bar" aria-hidden="true">{"".join(out)}</svg>')


def _interval(outcome: model.HorizonOutcome) -> Markup:
    """A hit rate with its interval on the scale of `wording.SCALE`, and what no signal at all would have hit."""
    if outcome.hit_rate is None or outcome.hit_low is None or outcome.hit_high is None:
        return Markup("")
    low, high, rate = (wording.on_scale(value) * 100 for value in (outcome.hit_low, outcome.hit_high, outcome.hit_rate))
    base = "" if outcome.base_rate is None else f'<rect class="bs" x="{wording.on_scale(outcome.base_rate) * 100:.0f}%" y="2"/>'
    line = f'<rect class="iv" x="{low:.0f}%" y="5" width="{high - low:.0f}%"/>'
    dot = f'<circle class="ht" cx="{rate:.0f}%" cy="8" r="4"/>'
    return Markup(f'<svg class="in" aria-hidden="true">{line}{base}{dot}</svg>')


def _anchor(symbol: str) -> str:
    """An id for any name; unlike names have unlike ids."""
    return "s-" + "".join(character if _PLAIN_ID.fullmatch(character) else f"_{ord(character):x}_" for character in symbol)

"""Delivery of a finished report through Apprise: a short text, with the page attached where the service takes files."""

from __future__ import annotations

import re
from pathlib import Path

from services.reports.daily.model import DailyReportModel
from services.runtime.logging import get_logger

_log = get_logger("report-delivery")

_SIGNALS = 8
#: A comma or a space before the next address; addresses themselves may hold commas.
_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def addresses(setting: str) -> list[str]:
    """The Apprise URLs of the setting."""
    return [item for item in _BETWEEN.split(setting.strip().strip(",")) if item]


def is_known(address: str) -> bool:
    """Whether Apprise has a service for such an address, and it can be one of its."""
    import apprise

    return isinstance(apprise.Apprise.instantiate(address, suppress_exceptions=True), apprise.NotifyBase)


def deliver(setting: str, model: DailyReportModel, page: Path | None) -> list[str]:
    """Sends to each address. page: the HTML file, when there is one. Returns a line for each delivery that failed; raises nothing of a service's."""
    failed = []
    for number, address in enumerate(addresses(setting), 1):
        # A wrong address may be all password: it is told by its place only.
        shown, why = _send(address, model, page)
        where = shown or f"address {number} of SIGNALBOX_REPORT_NOTIFY"
        if why:
            _log.warning("report was not delivered", report=model.meta.id, to=where, why=why)
            failed.append(f"not delivered to {where}: {why}")
        else:
            _log.info("report was delivered", report=model.meta.id, to=where)
    return failed


def _send(address: str, model: DailyReportModel, page: Path | None) -> tuple[str, str]:
    """Where to, without secrets, and why it failed; empty when it did not."""
    # Loads some hundred services: only where there is something to deliver.
    import apprise

    service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if not isinstance(service, apprise.NotifyBase):
        return "", "Apprise does not know such an address"
    attach = apprise.AppriseAttachment(str(page)) if page is not None and service.attachment_support else None
    sent = service.notify(body=text(model), title=title(model), body_format=apprise.NotifyFormat.TEXT, attach=attach)
    shown = str(service.url(privacy=True)).partition("?")[0]  # type: ignore[no-untyped-call]
    return shown, "" if sent else "the service did not take it"


def title(model: DailyReportModel) -> str:
    """One line."""
    signals = f"{len(model.signals)} signal{'s' if len(model.signals) != 1 else ''}"
    return f"Daily report {model.meta.date}: {model.coverage.arrived} of {model.coverage.expected} symbols, {signals}"


def text(model: DailyReportModel) -> str:
    """The main figures, some lines."""
    coverage, breadth, market = model.coverage, model.market.breadth, model.market
    lines = [f"{coverage.arrived} arrived, {coverage.late} late, {coverage.missing} missing, {coverage.failed} failed."]
    median = "" if market.median_change is None else f", median {market.median_change:+.2%}"
    lines.append(f"{breadth.advancers} up, {breadth.decliners} down, {breadth.unchanged} unchanged{median}.")
    lines.append(f"52 weeks: {breadth.new_highs_52w.count} new highs, {breadth.new_lows_52w.count} new lows.")
    for name, movers in (("Up", market.up), ("Down", market.down)):
        if movers:
            lines.append(f"{name}: " + ", ".join(f"{item.symbol} {item.change:+.1%}" for item in movers[:3]))
    lines += [f"{item.symbol}: {item.title}" for item in model.signals[:_SIGNALS]]
    if len(model.signals) > _SIGNALS:
        lines.append(f"and {len(model.signals) - _SIGNALS} more signals")
    lines += [f"Alert ({item.severity}): {item.title}" for item in model.alerts if not item.is_resolved]
    lines.append(f"Report {model.meta.id}")
    return "\n".join(lines)

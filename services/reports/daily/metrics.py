"""Metrics of the daily report: name, type, unit and meaning, once."""

from prometheus_client import Counter

UNREADABLE_ALERTS = Counter("signalbox_reports_unreadable_alerts_total", "Records of ops.alerts.v1 that could not be read for a report.")
DELIVERIES = Counter("signalbox_reports_deliveries_total", "Deliveries of daily reports, by outcome (delivered, failed).", ["outcome"])

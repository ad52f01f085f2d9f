"""Metrics of the stream worker that makes bars: name, type, unit and meaning, once."""

from prometheus_client import Counter, Gauge

TICKS = Counter("signalbox_bars_ticks_total", "Ticks read from market.ticks.v1, late and duplicate ones included.")
LATE = Counter("signalbox_bars_late_total", "Ticks that changed no bar and went to market.late.v1, by reason.", ["reason"])
DUPLICATES = Counter("signalbox_bars_duplicates_total", "Ticks dropped because a pending one has the same source, symbol and seq.")
BARS = Counter("signalbox_bars_final_total", "Final bars, by interval in seconds.", ["interval"])
INCOMPLETE = Counter("signalbox_bars_incomplete_total", "Bars left out because retention removed ticks of theirs before this state began.")
ENGINE_SECONDS = Counter("signalbox_bars_engine_seconds_total", "Seconds spent in the bar engine.")
PENDING_ROWS = Gauge("signalbox_bars_pending_rows", "Ticks whose second is not final yet, by partition.", ["partition"])

// Which symbols and intervals are kept, from /v1/series: asked at start, and again until there is an answer with symbols in it.

import { field, getJson } from "./system.js";

const AGAIN_MS = 2000;
const REFRESH_MS = 10_000;
const INTERVAL_NAMES = { INTERVAL_1S: "1s", INTERVAL_1M: "1m", INTERVAL_5M: "5m", INTERVAL_15M: "15m", INTERVAL_1H: "1h", INTERVAL_1D: "1d" };
const INTERVAL_NUMBERS = [null, "1s", "1m", "5m", "15m", "1h", "1d"];
const SOURCE_NAMES = { SOURCE_KIND_LIVE: "live", SOURCE_KIND_REPLAY: "replay", SOURCE_KIND_SYNTHETIC: "synthetic", 1: "live", 2: "replay", 3: "synthetic" };

const intervalName = (interval) => INTERVAL_NAMES[interval] ?? INTERVAL_NUMBERS[interval];

async function pages() {
  const all = [];
  let token = "";
  do {
    const answer = await getJson(`/v1/series${token ? `?page_token=${encodeURIComponent(token)}` : ""}`);
    all.push(...(field(answer, "series") ?? []));
    token = field(answer, "next_page_token") ?? "";
  } while (token);
  return all;
}

/**
 * Fills the watch list: calls `onSymbols(all)` after each answer and `onFirst()` once, after the first that has symbols. Asks again and again, so that a new feed
 * appears without a reload.
 */
export async function loadSeries(market, onSymbols, onFirst) {
  let wait = AGAIN_MS;
  try {
    const all = await pages();
    for (const series of all) market.list(series.symbol, intervalName(series.interval), SOURCE_NAMES[field(series, "source_kind")] ?? null);
    onSymbols([...new Set(all.map((series) => series.symbol))]);
    if (all.length > 0) {
      onFirst?.();
      onFirst = null;
      wait = REFRESH_MS;
    }
  } catch (error) {
    // The system panel says which process does not answer; the chart does not need the list.
    console.debug("series not listed", error);
  }
  setTimeout(() => loadSeries(market, onSymbols, onFirst), wait);
}

// Which symbols and intervals are kept, from /v1/series: asked at start, and again until there is an answer with symbols in it.

import { field, getJson } from "./system.js";

const AGAIN_MS = 3000;
const REFRESH_MS = 30_000;
const INTERVAL_NAMES = { INTERVAL_1S: "1s", INTERVAL_1M: "1m", INTERVAL_5M: "5m", INTERVAL_15M: "15m", INTERVAL_1H: "1h", INTERVAL_1D: "1d" };
const INTERVAL_NUMBERS = [null, "1s", "1m", "5m", "15m", "1h", "1d"];
const SOURCE_NAMES = { SOURCE_KIND_LIVE: "live", SOURCE_KIND_REPLAY: "replay", SOURCE_KIND_SYNTHETIC: "synthetic", 1: "live", 2: "replay", 3: "synthetic" };

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

function note(market, series) {
  const quote = market.quote(series.symbol);
  const interval = INTERVAL_NAMES[series.interval] ?? INTERVAL_NUMBERS[series.interval];
  if (interval) quote.intervals.add(interval);
  if (interval && interval !== "1d") quote.intraday = true;
  quote.source ??= SOURCE_NAMES[field(series, "source_kind")] ?? null;
}

/** Fills the watch list; calls `onLoaded` after the first answer with symbols. The list stays fresh: a new feed appears without a reload. */
export async function loadSeries(market, onLoaded) {
  let wait = AGAIN_MS;
  try {
    const all = await pages();
    for (const series of all) note(market, series);
    if (all.length > 0) {
      onLoaded?.();
      onLoaded = null;
      wait = REFRESH_MS;
    }
  } catch (error) {
    // The stream names the symbols too; the system panel says which process does not answer.
    console.debug("series not listed", error);
  }
  setTimeout(() => loadSeries(market, onLoaded), wait);
}

// The top bar: what kind of data this is, throughput, latency, connection.

import { byId, setAttr, setData, setText } from "./dom.js";
import { clock, compact, duration, number, speed, weekday } from "./format.js";
import { numeric } from "./system.js";

const SIGNS = {
  replay: ["REPLAY", "recorded trades, played again"],
  synthetic: ["SYNTHETIC", "computed, not traded"],
  live: ["LIVE", "from a venue, now"],
};
const LINKS = { connecting: "Connecting", open: "Connected", waiting: "Disconnected" };

function pace(quote, ratio) {
  if (quote.intraday) return speed(ratio);
  const sessions = quote.replay.stepsPerSecond;
  return Math.abs(sessions - 1) < 0.15 ? "1 session/s" : `${number(sessions, 1)} sessions/s`;
}

export class TopBar {
  #market;
  #ticksBefore = 0;
  #serverTicks = null;

  constructor(market) {
    this.#market = market;
    setInterval(() => this.#second(), 1000);
    this.#second();
  }

  /** The sign of the shown symbol; drawn often, so it only touches what changed. */
  drawSign(quote, interval) {
    const sign = byId("sign");
    const words = SIGNS[quote?.source];
    sign.hidden = !words;
    if (!words) return;
    setData(sign, "source", quote.source);
    setText(byId("sign-word"), words[0]);
    const original = quote.source === "replay" ? quote.replay.original : null;
    setText(byId("sign-text"), original === null ? words[1] : weekday(original));
    setText(byId("sign-clock"), original === null || (interval === "1d" && !quote.intraday) ? "" : `${clock(original)} UTC`);
    const ratio = original === null ? null : quote.replay.speed(performance.now());
    setText(byId("sign-speed"), ratio === null ? "" : ratio > 0 ? pace(quote, ratio) : "paused");
    setAttr(sign, "title", `${words[0]}: ${words[1]}`);
  }

  drawLink(state) {
    setData(byId("link"), "state", state);
    setText(byId("link-text"), LINKS[state]);
  }

  /** The answer of /v1/system, or null when there was none. */
  system(status) {
    this.#serverTicks = status === null ? null : (numeric(status, "ticks_per_second") ?? 0);
  }

  #second() {
    const { counters, latency } = this.#market;
    const counted = counters.ticks - this.#ticksBefore;
    this.#ticksBefore = counters.ticks;
    setText(byId("gauge-ticks"), compact(Math.round(this.#serverTicks ?? counted)));
    const quantiles = latency.quantiles();
    setText(byId("gauge-p50"), duration(quantiles?.p50));
    setText(byId("gauge-p99"), duration(quantiles?.p99));
    setText(byId("utc"), `${clock(Date.now())} UTC`);
  }
}

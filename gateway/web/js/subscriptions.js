// What the page asks of the stream: the watch list and signals always, one chart at a time.

export const CHART_HISTORY = 1000;
const WATCH_HISTORY = 60;
const SIGNAL_HISTORY = 25;
//: Seconds between two requests for the chart's history after a hole.
const REFETCH_MS = 5000;

/** Intervals that have indicators and signals. */
export const ANALYSED = ["1s", "1m", "1d"];

export class Subscriptions {
  #socket;
  #chart = null;
  #signalIntervals = ["1m", "1d"];
  #refetchedAt = -Infinity;
  #number = 0;

  constructor(socket) {
    this.#socket = socket;
  }

  /** The id of the newest request for the chart: an older history's end says nothing any more. */
  chartId = "";

  /** After each connect: everything anew, with history. */
  begin() {
    this.#send({ action: "subscribe", id: "watch", bars: ["*"], live_bars: ["*"], interval: ["1m", "1d"], history: WATCH_HISTORY });
    this.#send({ action: "subscribe", id: "signals", signals: ["*"], interval: this.#signalIntervals, history: SIGNAL_HISTORY });
    if (this.#chart) this.#subscribeChart();
  }

  show(symbol, interval) {
    this.#unsubscribeChart();
    this.#chart = { symbol, interval };
    this.#subscribeChart();
  }

  /** One-second signals come several a second: only on demand. */
  wantSeconds(wanted) {
    const now = wanted ? ANALYSED : ["1m", "1d"];
    if (now.length === this.#signalIntervals.length) return;
    this.#signalIntervals = now;
    const request = { signals: ["*"], interval: ["1s"] };
    this.#send(wanted ? { action: "subscribe", id: "signals-1s", ...request, history: SIGNAL_HISTORY } : { action: "unsubscribe", ...request });
  }

  /** Messages were lost: the chart's history again, not too often. */
  refetch() {
    const now = performance.now();
    if (!this.#chart || now - this.#refetchedAt < REFETCH_MS) return;
    this.#refetchedAt = now;
    this.#unsubscribeChart();
    this.#subscribeChart();
  }

  #unsubscribeChart() {
    if (!this.#chart) return;
    this.#send({ action: "unsubscribe", ...this.#channels() });
    this.#send({ action: "unsubscribe", ticks: [this.#chart.symbol] });
  }

  #subscribeChart() {
    this.#number += 1;
    this.chartId = `chart-${this.#number}`;
    const { symbol, interval } = this.#chart;
    this.#send({ action: "subscribe", id: this.chartId, ...this.#channels(), history: CHART_HISTORY });
    this.#send({ action: "subscribe", id: `ticks-${this.#number}`, ticks: [symbol] });
  }

  #channels() {
    const { symbol, interval } = this.#chart;
    const channels = { bars: [symbol], live_bars: [symbol], interval };
    if (ANALYSED.includes(interval)) Object.assign(channels, { indicators: [symbol], signals: [symbol] });
    return channels;
  }

  #send(request) {
    this.#socket.send(request);
  }
}

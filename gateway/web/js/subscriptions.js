// What the page asks of the stream: the watch list and signals always, one chart at a time.
//
// The server sends the history of a series when it is newly subscribed, not again while it is held. So the watch list names its symbols instead of asking
// for all, and the chart gives a series back before it asks for it with more history.

export const CHART_HISTORY = 1000;
const WATCH_HISTORY = 60;
const WATCH_INTERVALS = ["1m", "1d"];
const SIGNAL_HISTORY = 60;
const EVENT_HISTORY = 100;
//: Least time between two requests for the chart's history after a hole.
const REFETCH_MS = 5000;
//: The server takes up to 1,000 symbols in one request.
const SYMBOLS_AT_ONCE = 500;

/** Intervals that have indicators and signals. */
export const ANALYSED = ["1s", "1m", "1d"];

export class Subscriptions {
  #socket;
  #chart = null;
  #watched = new Set();
  #seconds = null;
  #refetchedAt = -Infinity;
  #number = 0;

  constructor(socket) {
    this.#socket = socket;
  }

  /** The id of the newest request for the chart: an older history's end says nothing any more. */
  chartId = "";

  /** After each connect: everything anew, with history; the chart first. */
  begin() {
    if (this.#chart) this.#subscribeChart();
    this.#send({ action: "subscribe", id: "signals", signals: ["*"], interval: ["1m", "1d"], history: SIGNAL_HISTORY });
    this.#send({ action: "subscribe", id: "work", news: ["*"], jobs: ["*"], alerts: ["*"], history: EVENT_HISTORY });
    this.#subscribeSeconds();
    this.#watch([...this.#watched]);
  }

  /** These symbols are on the watch list from now on; those that are already, stay. */
  watch(symbols) {
    const fresh = symbols.filter((symbol) => !this.#watched.has(symbol));
    for (const symbol of fresh) this.#watched.add(symbol);
    this.#watch(fresh);
  }

  show(symbol, interval) {
    this.#unsubscribeChart();
    this.#chart = { symbol, interval };
    this.#subscribeChart();
  }

  /** One-second signals come many a second: only on demand, and of one symbol; null for none. */
  wantSeconds(symbol) {
    if (symbol === this.#seconds) return;
    if (this.#seconds) this.#send({ action: "unsubscribe", signals: [this.#seconds], interval: "1s" });
    this.#seconds = symbol;
    this.#subscribeSeconds();
  }

  /** Messages were lost: the chart's history again, not too often. */
  refetch() {
    const now = performance.now();
    if (!this.#chart || now - this.#refetchedAt < REFETCH_MS) return;
    this.#refetchedAt = now;
    this.show(this.#chart.symbol, this.#chart.interval);
  }

  #subscribeSeconds() {
    if (this.#seconds) this.#send({ action: "subscribe", id: "signals-1s", signals: [this.#seconds], interval: "1s", history: SIGNAL_HISTORY });
  }

  #watch(symbols) {
    for (let i = 0; i < symbols.length; i += SYMBOLS_AT_ONCE) {
      const some = symbols.slice(i, i + SYMBOLS_AT_ONCE);
      this.#send({ action: "subscribe", id: "watch", bars: some, live_bars: some, interval: WATCH_INTERVALS, history: WATCH_HISTORY });
    }
  }

  #subscribeChart() {
    this.#number += 1;
    this.chartId = `chart-${this.#number}`;
    const { symbol, interval } = this.#chart;
    if (this.#isWatched()) this.#send({ action: "unsubscribe", bars: [symbol], live_bars: [symbol], interval });
    this.#send({ action: "subscribe", id: this.chartId, bars: [symbol], live_bars: [symbol], ...this.#indicators(), interval, history: CHART_HISTORY });
    this.#send({ action: "subscribe", id: `ticks-${this.#number}`, ticks: [symbol] });
  }

  #unsubscribeChart() {
    if (!this.#chart) return;
    const { symbol, interval } = this.#chart;
    const bars = this.#isWatched() ? {} : { bars: [symbol], live_bars: [symbol] };
    this.#send({ action: "unsubscribe", ticks: [symbol], ...bars, ...this.#indicators(), interval });
  }

  #isWatched() {
    return this.#watched.has(this.#chart.symbol) && WATCH_INTERVALS.includes(this.#chart.interval);
  }

  #indicators() {
    return ANALYSED.includes(this.#chart.interval) ? { indicators: [this.#chart.symbol] } : {};
  }

  #send(request) {
    this.#socket.send(request);
  }
}

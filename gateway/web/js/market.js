// All market state of the page, fed by the messages of the stream. Knows nothing of the DOM.

import { LatencyMeter } from "./latency.js";
import { Quote } from "./quotes.js";
import { BarSeries, toBar } from "./series.js";
import { SignalBook, SignalMarks, toSignal } from "./signalbook.js";

const TAPE = 60;

export class Market extends EventTarget {
  quotes = new Map();
  signals = new SignalBook();
  marks = new SignalMarks();
  latency = new LatencyMeter();
  /** The series on the chart. */
  series = null;
  tape = [];
  counters = { messages: 0, ticks: 0, holes: 0, dropped: 0 };
  lastMessageAt = 0;

  /** Begins another chart; its bars come with the next subscription. */
  show(symbol, interval) {
    this.series = new BarSeries(symbol, interval);
    this.tape = [];
    this.quote(symbol);
  }

  quote(symbol) {
    let quote = this.quotes.get(symbol);
    if (!quote) {
      quote = new Quote(symbol);
      this.quotes.set(symbol, quote);
    }
    return quote;
  }

  /** What /v1/series says of a symbol. */
  list(symbol, interval, source) {
    const quote = this.quote(symbol);
    quote.list(interval, source);
    this.#emit("quote", symbol);
  }

  /** Takes in a frame. */
  take(messages) {
    const now = performance.now();
    this.lastMessageAt = Date.now();
    for (const message of messages) {
      this.counters.messages += 1;
      // A replay that keeps its own dates is not moved, and then carries no other time.
      if (message.source === "replay") message.replay_of ??= message.t;
      this.#handlers[message.T]?.(message, now);
    }
  }

  #handlers = {
    tick: (m, now) => this.#tick(m, now),
    bar: (m, now) => this.#bar(m, true, now),
    live_bar: (m, now) => this.#bar(m, false, now),
    indicators: (m) => this.#indicators(m),
    signal: (m) => this.#signal(m),
    heartbeat: (m) => this.latency.heartbeat(m.ts),
    welcome: (m) => this.latency.heartbeat(m.ts),
    gap: (m) => this.#gap(m),
    history_end: (m) => this.#emit("history", m),
    error: (m) => this.#emit("refused", m),
    subscriptions: (m) => this.#emit("subscribed", m),
  };

  #tick(message, now) {
    this.counters.ticks += 1;
    if (!message.hist && message.ts_recv) this.latency.sample(message.ts_recv);
    this.quote(message.S).tick(message, now);
    this.#emit("quote", message.S);
    if (this.series?.symbol !== message.S) return;
    this.tape.unshift(message);
    if (this.tape.length > TAPE) this.tape.length = TAPE;
    this.#emit("tape");
  }

  #bar(message, final, now) {
    if (!final && !message.hist && message.ts_recv) this.latency.sample(message.ts_recv);
    this.quote(message.S).bar(message, final, now);
    this.#emit("quote", message.S);
    if (this.#isShown(message) && this.series.put(toBar(message, final))) this.#emit("bars");
  }

  #indicators(message) {
    if (!this.#isShown(message)) return;
    this.series.putValues(message.t, message.values ?? {});
    this.#emit("bars");
  }

  #signal(message) {
    const signal = toSignal(message);
    if (this.marks.put(signal) && this.#isShown(message)) this.#emit("marks");
    if (this.signals.put(signal)) this.#emit("signal", signal);
  }

  #gap(message) {
    this.counters.dropped += message.dropped ?? 0;
    this.#emit("gap", message);
  }

  #isShown(message) {
    return this.series !== null && message.S === this.series.symbol && message.i === this.series.interval;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  on(type, listener) {
    this.addEventListener(type, (event) => listener(event.detail));
  }
}

// Signals in words, newest first, each once.

//: Of each interval.
const KEEP = 200;

export const WORDS = {
  golden_cross: ["Golden cross", "SMA 50 rose above SMA 200"],
  death_cross: ["Death cross", "SMA 50 fell below SMA 200"],
  rsi_overbought: ["RSI overbought", "RSI 14 rose through 70"],
  rsi_oversold: ["RSI oversold", "RSI 14 fell through 30"],
  rsi_bullish: ["RSI bullish", "RSI 14 rose through 50"],
  rsi_bearish: ["RSI bearish", "RSI 14 fell through 50"],
  macd_cross_up: ["MACD cross up", "MACD rose above its signal line"],
  macd_cross_down: ["MACD cross down", "MACD fell below its signal line"],
  macd_zero_cross_up: ["MACD above zero", "MACD rose through zero"],
  macd_zero_cross_down: ["MACD below zero", "MACD fell through zero"],
};

/** [name, what happened] of a signal's type; an unknown type in its own words. */
export function words(type) {
  return WORDS[type] ?? [type.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase()), ""];
}

/** A signal message as the page keeps it. */
export function toSignal(message) {
  return {
    key: `${message.S}|${message.i}|${message.t}|${message.type}`, symbol: message.S, interval: message.i, t: message.t, tc: message.tc ?? message.t,
    type: message.type, up: message.dir !== "down", price: message.p, strength: message.strength, source: message.source, history: message.hist === true,
    replayOf: message.replay_of,
  };
}

export class SignalBook {
  /** Newest first. */
  list = [];
  #keys = new Set();
  #counts = new Map();

  /** Returns whether the signal is new. */
  put(signal) {
    if (this.#keys.has(signal.key)) return false;
    // Live ones go to the top as they come; those of the history among themselves by time.
    let place = 0;
    if (signal.history) while (place < this.list.length && (!this.list[place].history || this.list[place].tc > signal.tc)) place += 1;
    this.list.splice(place, 0, signal);
    this.#keys.add(signal.key);
    this.#count(signal.interval);
    return true;
  }

  /** The oldest of an interval that has too many goes: many one-second signals must not push out the daily ones. */
  #count(interval) {
    const count = (this.#counts.get(interval) ?? 0) + 1;
    this.#counts.set(interval, Math.min(count, KEEP));
    if (count <= KEEP) return;
    const oldest = this.list.findLastIndex((signal) => signal.interval === interval);
    this.#keys.delete(this.list[oldest].key);
    this.list.splice(oldest, 1);
  }
}

//: As many marks as a chart can bear.
const MARKS_A_SERIES = 160;

/** The newest signals of each series, for the marks on its chart. */
export class SignalMarks {
  #series = new Map();

  /** Returns whether the signal is new. */
  put(signal) {
    const name = `${signal.symbol}|${signal.interval}`;
    if (!this.#series.has(name)) this.#series.set(name, new Map());
    const marks = this.#series.get(name);
    if (marks.has(signal.key)) return false;
    marks.set(signal.key, signal);
    if (marks.size > MARKS_A_SERIES) marks.delete(marks.keys().next().value);
    return true;
  }

  of(symbol, interval) {
    return [...(this.#series.get(`${symbol}|${interval}`)?.values() ?? [])];
  }
}

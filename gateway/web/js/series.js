// Bars and indicator values of one series, ordered by open time, bounded.

//: A day of one-minute bars and more; beyond that the oldest go.
const KEEP = 2400;
const TRIM_AT = 3000;

/** A bar message as the page keeps it. */
export function toBar(message, final) {
  return {
    t: message.t, tc: message.tc, o: message.o, h: message.h, l: message.l, c: message.c, v: message.v, vw: message.vw, n: message.n,
    rev: message.rev ?? 0, final, source: message.source, replayOf: message.replay_of,
  };
}

export class BarSeries {
  bars = [];
  indicators = new Map();
  /** Times of what changed since the chart last drew, or everything. */
  dirtyBars = new Set();
  dirtyValues = new Set();
  /** Times of bars that came after a later one: the chart can only take these with all others anew. */
  inserted = new Set();
  needsReset = true;

  constructor(symbol, interval) {
    this.symbol = symbol;
    this.interval = interval;
  }

  get last() {
    return this.bars[this.bars.length - 1] ?? null;
  }

  /** Index of the bar that opens at `t`, or -1 - (where it belongs). Newest first, because that is what is asked for. */
  indexOf(t) {
    const { bars } = this;
    const newest = bars.length - 1;
    if (newest < 0 || t > bars[newest].t) return -1 - bars.length;
    if (t === bars[newest].t) return newest;
    let low = 0;
    let high = newest;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bars[middle].t < t) low = middle + 1;
      else high = middle;
    }
    return bars[low].t === t ? low : -1 - low;
  }

  at(t) {
    const i = this.indexOf(t);
    return i < 0 ? null : this.bars[i];
  }

  before(t) {
    const i = this.indexOf(t);
    return this.bars[(i < 0 ? -1 - i : i) - 1] ?? null;
  }

  /** Adds or replaces; a forming bar never replaces a final one, an older revision never a newer. Returns whether anything changed. */
  put(bar) {
    const i = this.indexOf(bar.t);
    if (i >= 0) {
      const old = this.bars[i];
      if (old.final && (!bar.final || bar.rev < old.rev)) return false;
      this.bars[i] = bar;
      this.dirtyBars.add(bar.t);
      return true;
    }
    const place = -1 - i;
    if (place === this.bars.length) {
      this.bars.push(bar);
      this.dirtyBars.add(bar.t);
    } else {
      this.bars.splice(place, 0, bar);
      this.inserted.add(bar.t);
    }
    this.#trim();
    return true;
  }

  putValues(t, values) {
    const last = this.lastValuesTime;
    this.indicators.set(t, values);
    if (last !== undefined && t < last) this.needsReset = true;
    else this.lastValuesTime = t;
    this.dirtyValues.add(t);
  }

  /** Values at `t`, or the newest. */
  valuesAt(t) {
    return this.indicators.get(t) ?? null;
  }

  get lastValues() {
    return this.lastValuesTime === undefined ? null : this.indicators.get(this.lastValuesTime);
  }

  #trim() {
    if (this.bars.length <= TRIM_AT) return;
    this.bars = this.bars.slice(-KEEP);
    const oldest = this.bars[0].t;
    for (const t of this.indicators.keys()) if (t < oldest) this.indicators.delete(t);
    this.needsReset = true;
  }

  /** What changed was drawn; `all` when everything was drawn anew. */
  drawn(all) {
    this.dirtyBars.clear();
    this.dirtyValues.clear();
    if (all) this.inserted.clear();
    if (all) this.needsReset = false;
  }
}

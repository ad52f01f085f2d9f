// What the watch list knows of each symbol: last price, reference, a line of closes, source, replay clock.

const SPARK = 60;
//: While trades of a symbol come, its forming bars say nothing newer about the price.
const TICKS_LEAD_MS = 2000;

class Closes {
  times = [];
  values = [];

  put(t, close) {
    const last = this.times[this.times.length - 1];
    if (last !== undefined && t < last) return;
    if (t === last) {
      this.values[this.values.length - 1] = close;
      return;
    }
    this.times.push(t);
    this.values.push(close);
    if (this.times.length > SPARK) {
      this.times.shift();
      this.values.shift();
    }
  }

  back(n) {
    return this.values[this.values.length - 1 - n];
  }
}

/** Where a replay is in its recording, and how fast it runs, measured over the last ten seconds. */
class ReplayClock {
  #samples = [];
  original = null;

  put(original, now) {
    if (this.original !== null && original < this.original - 3_600_000) this.#samples = []; // it began anew
    this.original = original;
    const last = this.#samples[this.#samples.length - 1];
    if (last && now - last.now < 400) return;
    this.#samples.push({ original, now });
    while (this.#samples.length > 2 && now - this.#samples[0].now > 10_000) this.#samples.shift();
  }

  /** Recorded time per wall time; 0 when nothing has come for three seconds, null when not known yet. */
  speed(now) {
    const first = this.#samples[0];
    const last = this.#samples[this.#samples.length - 1];
    if (!first) return null;
    if (now - last.now > 3000) return 0;
    return last.now - first.now < 1500 ? null : (last.original - first.original) / (last.now - first.now);
  }

  /** Steps a second, for a replay of sessions, where the hours between them say nothing. */
  get stepsPerSecond() {
    const [first] = this.#samples;
    const last = this.#samples[this.#samples.length - 1];
    return (1000 * (this.#samples.length - 1)) / (last.now - first.now);
  }
}

export class Quote {
  price = null;
  time = -Infinity;
  direction = 0;
  source = null;
  offset = null;
  session = null;
  intraday = false;
  firstSeen = null;
  minute = new Closes();
  daily = new Closes();
  replay = new ReplayClock();
  intervals = new Set();
  #tickAt = -Infinity;

  constructor(symbol) {
    this.symbol = symbol;
  }

  /** It is kept at this interval. */
  list(interval, source) {
    this.intervals.add(interval);
    if (interval !== "1d") this.intraday = true;
    this.source ??= source;
  }

  tick(message, now) {
    this.#seen(message);
    this.#tickAt = now;
    this.intraday = true;
    if (typeof message.replay_of === "number" && !message.hist) this.replay.put(message.replay_of, now);
    if (message.t >= this.time) this.#move(message.p, message.t);
  }

  bar(message, final, now) {
    this.#seen(message);
    this.intervals.add(message.i);
    const daily = message.i === "1d";
    if (!daily) this.intraday = true;
    if (typeof message.replay_of === "number" && !message.hist && (!daily || !this.intraday) && now - this.#tickAt > TICKS_LEAD_MS) {
      this.replay.put(message.replay_of, now);
    }
    if (final) this.#final(message, daily);
    else this.#forming(message, daily, now);
  }

  /** [reference price, what it is]. */
  reference() {
    const dailyOnly = !this.intraday;
    const close = this.daily.back(dailyOnly ? 1 : 0);
    if (close !== undefined) return [close, "previous close"];
    if (this.session) return [this.session.o, "the session's open"];
    return [this.firstSeen, "first price seen"];
  }

  get change() {
    const [from] = this.reference();
    return this.price === null || from === null ? null : this.price - from;
  }

  get changeRatio() {
    const [from] = this.reference();
    return this.price === null || !from ? null : this.price / from - 1;
  }

  get spark() {
    return this.intraday && this.minute.values.length > 1 ? this.minute.values : this.daily.values;
  }

  /** The intervals this symbol has: daily bars from a file have no others, what trades has all. */
  has(interval) {
    return this.intervals.size === 0 || this.intervals.has(interval) || this.intraday;
  }

  #seen(message) {
    if (message.source) this.source = message.source;
    if (typeof message.replay_of === "number") this.offset = message.t - message.replay_of;
  }

  #final(message, daily) {
    (daily ? this.daily : message.i === "1m" ? this.minute : null)?.put(message.t, message.c);
    if (daily && this.session && this.session.t <= message.t) this.session = this.intraday ? null : message;
    if (daily && !this.intraday) this.session = message;
    if (message.tc - 1 >= this.time) this.#move(message.c, message.tc - 1);
  }

  #forming(message, daily, now) {
    if (daily) this.session = message;
    if (daily && this.intraday) return;
    if (now - this.#tickAt > TICKS_LEAD_MS && message.tc > this.time) this.#move(message.c, Math.max(this.time, message.t));
  }

  #move(price, time) {
    this.direction = this.price === null ? 0 : Math.sign(price - this.price);
    this.price = price;
    this.time = time;
    this.firstSeen ??= price;
  }
}

// Time from "the tick reached the server" to "it is here", on the server's clock.

//: Enough for a stable p99 at some hundred ticks a second, and bounded.
const SAMPLES = 4096;
const WINDOW_MS = 10_000;
//: Heartbeats come once a second; the fastest of the last minute is nearest to the true offset.
const BEATS = 60;

/** The wall clock in microseconds, finer than Date.now(). */
export const wallMicros = () => (performance.timeOrigin + performance.now()) * 1000;

export class LatencyMeter {
  #offsets = [];
  #values = new Float64Array(SAMPLES);
  #times = new Float64Array(SAMPLES);
  #next = 0;
  #count = 0;

  /** A heartbeat with the server's clock `ts` arrived now. The least difference seen is clock offset plus the fastest delivery. */
  heartbeat(ts) {
    this.#offsets.push(wallMicros() - ts);
    if (this.#offsets.length > BEATS) this.#offsets.shift();
  }

  get offset() {
    return this.#offsets.length ? Math.min(...this.#offsets) : null;
  }

  /** A message caused by a tick received at `tsRecv` (microseconds, server's clock) arrived now. */
  sample(tsRecv) {
    if (this.#offsets.length === 0) return;
    const now = performance.now();
    this.#values[this.#next] = Math.max(0, (wallMicros() - this.offset - tsRecv) / 1000);
    this.#times[this.#next] = now;
    this.#next = (this.#next + 1) % SAMPLES;
    this.#count = Math.min(this.#count + 1, SAMPLES);
  }

  /** {p50, p99, count} in milliseconds over the last ten seconds; null without samples. */
  quantiles() {
    const since = performance.now() - WINDOW_MS;
    const recent = this.#values.subarray(0, this.#count).filter((_, i) => this.#times[i] >= since).sort();
    if (recent.length === 0) return null;
    const at = (q) => recent[Math.min(recent.length - 1, Math.floor(q * recent.length))];
    return { p50: at(0.5), p99: at(0.99), count: recent.length };
  }

  /** A new connection may be to another server: its clock is not known yet. */
  reset() {
    this.#offsets = [];
    this.#count = 0;
    this.#next = 0;
  }
}

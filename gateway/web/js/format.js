// Numbers and times as people read them. Times are UTC, in milliseconds.

const DASH = "–";
const pad = (n) => String(n).padStart(2, "0");
const formatters = new Map();

function fixed(digits) {
  let formatter = formatters.get(digits);
  if (!formatter) {
    formatter = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" });
    formatters.set(digits, formatter);
  }
  return formatter;
}

const known = (x) => typeof x === "number" && Number.isFinite(x);

/** Decimals that show a price of this size well: cents from 1 up, more below. */
export function priceDigits(x) {
  const size = Math.abs(x);
  if (!known(x) || size >= 1 || size === 0) return 2;
  return size >= 0.01 ? 4 : 8;
}

export const price = (x) => (known(x) ? fixed(priceDigits(x)).format(x) : DASH);
export const number = (x, digits = 2) => (known(x) ? fixed(digits).format(x).replace("-", "−") : DASH);
export const whole = (x) => (known(x) ? fixed(0).format(Math.round(x)) : DASH);

export function signed(x, digits = 2) {
  if (!known(x)) return DASH;
  const text = fixed(digits).format(Math.abs(x));
  return !/[1-9]/.test(text) ? text : x > 0 ? `+${text}` : `−${text}`;
}

export const percent = (x) => (known(x) ? `${signed(x * 100, 2)}%` : DASH);

/** 1,234 / 12.3k / 4.56M: volumes and rates, short. */
export function compact(x) {
  if (!known(x)) return DASH;
  const size = Math.abs(x);
  if (size >= 1e9) return `${fixed(2).format(x / 1e9)}B`;
  if (size >= 1e6) return `${fixed(2).format(x / 1e6)}M`;
  if (size >= 1e4) return `${fixed(1).format(x / 1e3)}k`;
  return fixed(Number.isInteger(x) ? 0 : size < 100 ? 1 : 0).format(x);
}

/** Milliseconds: 0.42 ms, 3.1 ms, 180 ms, 2.4 s. */
export function duration(ms) {
  if (!known(ms)) return DASH;
  if (ms < 1) return `${fixed(2).format(ms)} ms`;
  if (ms < 10) return `${fixed(1).format(ms)} ms`;
  if (ms < 1000) return `${fixed(0).format(ms)} ms`;
  return `${fixed(1).format(ms / 1000)} s`;
}

export function bytes(x) {
  if (!known(x)) return DASH;
  return x >= 1 << 30 ? `${fixed(2).format(x / (1 << 30))} GB` : `${fixed(0).format(x / (1 << 20))} MB`;
}

/** Seconds as 45s, 12m, 3h 05m, 2d 4h. */
export function age(seconds) {
  if (!known(seconds)) return DASH;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${pad(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function clock(ms) {
  const d = new Date(ms);
  return `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
}

export function clockMillis(ms) {
  return `${clock(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
}

export function day(ms) {
  const d = new Date(ms);
  return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}`;
}

export const weekday = (ms) => `${WEEKDAYS[new Date(ms).getUTCDay()]} ${day(ms)}`;

export function shortDay(ms) {
  const d = new Date(ms);
  return `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`;
}

/** 23 Nov 2026 16:23 UTC */
export const moment = (ms) => `${day(ms)} ${clock(ms).slice(0, 5)} UTC`;

/** 16:23 when that is less than 20 hours from now, else 23 Nov. */
export const shortMoment = (ms) => (Math.abs(Date.now() - ms) < 20 * 3_600_000 ? clock(ms).slice(0, 5) : shortDay(ms));

/** A bar's open time, as exact as its interval needs. */
export function barTime(ms, interval) {
  if (interval === "1d") return weekday(ms);
  const text = clock(ms);
  return `${shortDay(ms)} ${interval === "1s" ? text : text.slice(0, 5)}`;
}

/** How fast recorded time passes: 60×. */
export function speed(ratio) {
  if (!known(ratio) || ratio <= 0) return "";
  if (ratio > 0.95 && ratio < 1.05) return "1×";
  return ratio < 10 ? `${fixed(1).format(ratio)}×` : `${fixed(0).format(ratio)}×`;
}

/** AAPL.XNAS -> ["AAPL", "XNAS"]. */
export function splitSymbol(symbol) {
  const dot = symbol.lastIndexOf(".");
  return dot < 0 ? [symbol, ""] : [symbol.slice(0, dot), symbol.slice(dot + 1)];
}

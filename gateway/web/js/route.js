// The address keeps what is shown: #ES.XCME/1m

export const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "1d"];
export const DEFAULT_SYMBOL = "ES.XCME";
export const DEFAULT_INTERVAL = "1m";
export const SECONDS = { "1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86400 };
const SYMBOL = /^[A-Z0-9\-_=^]{1,20}\.[A-Z0-9]{1,10}$/;

/** {symbol, interval} of the address; what is missing or malformed is null. */
export function readRoute() {
  let text = "";
  try {
    text = decodeURIComponent(location.hash.slice(1));
  } catch (error) {
    console.debug("malformed address", error);
  }
  const [symbol, interval] = text.split("/");
  return { symbol: SYMBOL.test(symbol) ? symbol : null, interval: INTERVALS.includes(interval) ? interval : null };
}

export function writeRoute(symbol, interval) {
  const hash = `#${symbol}/${interval}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

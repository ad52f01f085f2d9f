// The indicators that the chart can show, by the names the stream gives them.

const line = (key, color, label, extra = {}) => ({ key, color, label, kind: "line", width: 1, ...extra });

/** pane: "price" lies over the candles, any other name is a pane of its own. */
export const OVERLAYS = [
  { id: "sma20", label: "SMA 20", pane: "price", on: true, lines: [line("sma_20", "#62a8ff", "SMA 20", { width: 2 })] },
  { id: "sma50", label: "SMA 50", pane: "price", on: true, lines: [line("sma_50", "#f0b24a", "SMA 50", { width: 2 })] },
  { id: "sma200", label: "SMA 200", pane: "price", on: false, lines: [line("sma_200", "#c792ea", "SMA 200", { width: 2 })] },
  { id: "ema12", label: "EMA 12", pane: "price", on: false, lines: [line("ema_12", "#7fdbca", "EMA 12")] },
  { id: "ema26", label: "EMA 26", pane: "price", on: false, lines: [line("ema_26", "#ff9e80", "EMA 26")] },
  {
    id: "bbands", label: "BB", title: "Bollinger bands: SMA 20, two standard deviations", pane: "price", on: true,
    lines: [
      line("bbands_20_2_upper", "#7686a0", "BB upper"),
      line("bbands_20_2_middle", "#56637a", "BB mid", { style: 2 }),
      line("bbands_20_2_lower", "#7686a0", "BB lower"),
    ],
  },
  { id: "rsi", label: "RSI 14", pane: "rsi", on: true, levels: [70, 50, 30], lines: [line("rsi_14", "#c792ea", "RSI 14")] },
  {
    id: "macd", label: "MACD", pane: "macd", on: true, narrow: false, levels: [0],
    lines: [
      { key: "macd_12_26_9_hist", color: "#56637a", label: "Hist", kind: "histogram" },
      line("macd_12_26_9", "#62a8ff", "MACD"),
      line("macd_12_26_9_signal", "#f0b24a", "Signal"),
    ],
  },
  { id: "atr", label: "ATR 14", pane: "atr", on: false, lines: [line("atr_14", "#7fdbca", "ATR 14")] },
];

export const OVERLAY_BY_ID = new Map(OVERLAYS.map((overlay) => [overlay.id, overlay]));

/** What is on at first: on a narrow screen fewer panes. */
export function defaultOverlays(narrow) {
  return OVERLAYS.filter((overlay) => overlay.on && !(narrow && overlay.narrow === false)).map((overlay) => overlay.id);
}

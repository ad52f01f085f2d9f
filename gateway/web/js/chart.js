// Candles, volume, indicators and signal marks of one series, drawn with Lightweight Charts.

import {
  CandlestickSeries, ColorType, createChart, createSeriesMarkers, createTextWatermark, CrosshairMode, HistogramSeries,
} from "../vendor/lightweight-charts-5.2.1.standalone.production.mjs";
import { clock, day, number, priceDigits, weekday } from "./format.js";
import { IndicatorLines } from "./chart_lines.js";
import { throttled } from "./frame.js";
import { THEME } from "./theme.js";

//: With more changes than this in one frame (a tab that was hidden), drawing everything anew is cheaper.
const MANY = 240;
//: Final bars of quiet seconds come after the forming bar of a later one, some times a second in a fast replay: they wait this long for each other.
const INSERT_MS = 400;
const RIGHT_OFFSET = 6;

const seconds = (ms) => Math.floor(ms / 1000);
/** Two decimals, more only for what would show as nothing. */
const priceFormatter = (value) => number(value, value !== 0 && Math.abs(value) < 0.01 ? priceDigits(value) : Math.abs(value) < 1 ? 2 : priceDigits(value));
const candle = (bar) => ({ time: seconds(bar.t), open: bar.o, high: bar.h, low: bar.l, close: bar.c });
const column = (bar) => ({ time: seconds(bar.t), value: bar.v ?? 0, color: bar.c >= bar.o ? THEME.upFaint : THEME.downFaint });

function options(narrow) {
  return {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: THEME.background }, textColor: THEME.text, fontFamily: THEME.font, fontSize: narrow ? 10 : 11,
      // The logo needs an inline style, which the content security policy forbids; the attribution stands under the chart.
      attributionLogo: false,
      panes: { separatorColor: THEME.border, separatorHoverColor: "rgba(98, 168, 255, 0.25)", enableResize: true },
    },
    grid: { vertLines: { color: THEME.grid }, horzLines: { color: THEME.grid } },
    crosshair: {
      mode: CrosshairMode.Normal,
      vertLine: { color: THEME.crosshair, labelBackgroundColor: THEME.label, style: 3 },
      horzLine: { color: THEME.crosshair, labelBackgroundColor: THEME.label, style: 3 },
    },
    rightPriceScale: { borderColor: THEME.border, scaleMargins: { top: narrow ? 0.24 : 0.14, bottom: 0.2 }, minimumWidth: narrow ? 56 : 72 },
    timeScale: { borderColor: THEME.border, timeVisible: true, rightOffset: RIGHT_OFFSET, minBarSpacing: 0.6 },
    localization: { locale: "en-GB", priceFormatter },
    handleScroll: { vertTouchDrag: false },
  };
}

export class ChartView {
  #container;
  #chart;
  #candles;
  #volume;
  #marks;
  #watermark;
  #lines;
  #market;
  #drawnLast = 0;
  #setAllAt = -Infinity;
  #fresh = true;
  #digits = 2;
  #hovered = null;
  #listeners;

  /** listeners: onDrawn(), onHover(t or null), onFollow(whether the newest bar is in sight). */
  constructor(container, market, listeners, narrow) {
    this.#container = container;
    this.#market = market;
    this.#listeners = listeners;
    this.narrow = narrow;
    this.#chart = createChart(container, options(narrow));
    this.#candles = this.#chart.addSeries(CandlestickSeries, {
      upColor: THEME.up, downColor: THEME.down, wickUpColor: THEME.up, wickDownColor: THEME.down, borderVisible: false, priceLineStyle: 3,
    });
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
    this.#marks = createSeriesMarkers(this.#candles, []);
    this.#watermark = createTextWatermark(this.#chart.panes()[0], { lines: [] });
    this.#lines = new IndicatorLines(this.#chart);
    this.#chart.subscribeCrosshairMove((event) => this.#hover(event));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.#followed());
  }

  get lines() {
    return this.#lines;
  }

  /** Another series is on the chart. */
  begin() {
    const { interval } = this.#market.series;
    this.#fresh = true;
    this.#hovered = null;
    this.#chart.applyOptions({ localization: { timeFormatter: (t) => crosshairTime(t * 1000, interval) } });
    this.#chart.timeScale().applyOptions({ timeVisible: interval !== "1d", secondsVisible: interval === "1s" });
    this.#setAll();
  }

  sign(source) {
    const text = { replay: "REPLAY", synthetic: "SYNTHETIC" }[source];
    const lines = text ? [{ text, color: THEME.watermark[source], fontSize: this.narrow ? 40 : 72, fontFamily: THEME.font, fontStyle: "bold" }] : [];
    this.#watermark.applyOptions({ lines, horzAlign: "center", vertAlign: "center" });
  }

  showOverlays(overlays) {
    this.#lines.show(overlays, this.#market.series);
    this.askDraw();
  }

  /** As smooth as an eye can tell, and half the painting of a draw in every frame. */
  askDraw = throttled("chart", 33, () => this.#draw());

  drawMarks() {
    const { series, marks } = this.#market;
    const oldest = series.bars[0]?.t;
    const shown = oldest === undefined ? [] : marks.of(series.symbol, series.interval).filter((signal) => signal.t >= oldest);
    shown.sort((a, b) => a.t - b.t);
    this.#marks.setMarkers(shown.map(toMarker));
  }

  follow() {
    this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
  }

  /** Brings the bar that opens at `t` to the middle, when it is loaded. */
  goTo(t) {
    const i = this.#market.series.indexOf(t);
    if (i < 0) return;
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const half = range ? (range.to - range.from) / 2 : 60;
    const to = Math.min(i + half, this.#market.series.bars.length + RIGHT_OFFSET);
    scale.setVisibleLogicalRange({ from: to - 2 * half, to });
  }

  move(bars) {
    const scale = this.#chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  zoom(factor) {
    const scale = this.#chart.timeScale();
    scale.applyOptions({ barSpacing: Math.min(60, Math.max(0.6, scale.options().barSpacing * factor)) });
  }

  /** Tops of the panes, in pixels; null for one that was added and is not laid out yet. */
  paneTops() {
    const origin = this.#container.getBoundingClientRect().top;
    return this.#chart.panes().map((pane) => {
      const element = pane.getHTMLElement();
      return element ? element.getBoundingClientRect().top - origin : null;
    });
  }

  #draw() {
    const { series } = this.#market;
    if (!series) return;
    const changes = series.dirtyBars.size + series.dirtyValues.size;
    const waited = performance.now() - this.#setAllAt > INSERT_MS;
    if (series.needsReset || changes > MANY || (series.inserted.size > 0 && waited)) this.#setAll();
    else if (changes > 0) this.#update(series);
    if (series.inserted.size > 0) this.askDraw();
    this.#listeners.onDrawn();
  }

  #update(series) {
    for (const t of [...series.dirtyBars].sort((a, b) => a - b)) {
      const bar = series.at(t);
      if (!bar || series.inserted.has(t)) continue;
      this.#candles.update(candle(bar), t < this.#drawnLast);
      this.#volume.update(column(bar), t < this.#drawnLast);
      this.#drawnLast = Math.max(this.#drawnLast, t);
    }
    this.#lines.update(series);
    series.drawn(false);
  }

  #setAll() {
    const { series } = this.#market;
    const scale = this.#chart.timeScale();
    const position = scale.scrollPosition();
    this.#setDigits(series.last?.c);
    this.#candles.setData(series.bars.map(candle));
    this.#volume.setData(series.bars.map(column));
    this.#lines.setAll(series);
    this.#drawnLast = series.last?.t ?? 0;
    series.drawn(true);
    this.#setAllAt = performance.now();
    this.drawMarks();
    if (series.bars.length === 0) return;
    if (this.#fresh) scale.applyOptions({ barSpacing: this.narrow ? 5 : 7 });
    scale.scrollToPosition(this.#fresh ? RIGHT_OFFSET : position, false);
    if (this.#fresh) this.#candles.priceScale().applyOptions({ autoScale: true });
    this.#fresh = false;
  }

  #setDigits(price) {
    const digits = price === undefined ? 2 : priceDigits(price);
    if (digits === this.#digits) return;
    this.#digits = digits;
    this.#candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
  }

  #hover(event) {
    const t = event.time === undefined || !event.point ? null : event.time * 1000;
    if (t === this.#hovered) return;
    this.#hovered = t;
    this.#listeners.onHover(t);
  }

  #followed() {
    this.#listeners.onFollow(this.#chart.timeScale().scrollPosition() >= -1);
  }
}

function crosshairTime(ms, interval) {
  return interval === "1d" ? day(ms) : `${weekday(ms)} ${clock(ms)} UTC`;
}

function toMarker(signal) {
  const cross = signal.type.endsWith("_cross") && !signal.type.startsWith("macd");
  return {
    time: seconds(signal.t), position: signal.up ? "belowBar" : "aboveBar", shape: signal.up ? "arrowUp" : "arrowDown",
    color: signal.up ? THEME.up : THEME.down, size: cross ? 1.4 : 0.8, text: cross ? (signal.up ? "Golden cross" : "Death cross") : undefined,
  };
}

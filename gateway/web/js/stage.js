// The middle of the page: quote, interval and indicator switches, chart, legend, and what is said when there is nothing to draw.

import { ChartView } from "./chart.js";
import { byId, el, recall, remember, setAttr, setData, setText } from "./dom.js";
import { compact, percent, price, signed } from "./format.js";
import { nextFrame, throttled } from "./frame.js";
import { describe, Legend } from "./legend.js";
import { defaultOverlays, OVERLAY_BY_ID, OVERLAYS } from "./overlays.js";
import { INTERVALS, SECONDS } from "./route.js";
import { ANALYSED } from "./subscriptions.js";

const NARROW = matchMedia("(max-width: 719px)");
const BADGES = { replay: "Replay", synthetic: "Synthetic", live: "Live" };

export class Stage {
  #market;
  #chart;
  #legend;
  #hovered = null;
  #enabled;
  #intervalButtons = new Map();
  #overlayButtons = new Map();
  #describe;

  constructor(market, onInterval) {
    this.#market = market;
    this.#enabled = new Set(recall("overlays", defaultOverlays(NARROW.matches)));
    this.#legend = new Legend(byId("legend"), byId("pane-labels"));
    const listeners = { onDrawn: () => this.#drawn(), onHover: (t) => this.#hover(t), onFollow: (following) => this.#follow(following) };
    this.#chart = new ChartView(byId("chart"), market, listeners, NARROW.matches);
    this.#describe = throttled("describe", 3000, () => this.#tellChart());
    this.#makeIntervals(onInterval);
    this.#makeOverlays();
    this.#keys();
    market.on("bars", () => this.#chart.askDraw());
    const marks = throttled("marks", 250, () => this.#chart.drawMarks());
    market.on("marks", marks);
    market.on("quote", (symbol) => symbol === market.series?.symbol && nextFrame("quote", () => this.drawQuote()));
    byId("follow").addEventListener("click", () => this.#chart.follow());
    new ResizeObserver(() => this.#placeLabels()).observe(byId("chart"));
  }

  /** Another series was chosen. */
  begin() {
    const { symbol, interval } = this.#market.series;
    this.#hovered = null;
    document.title = `${symbol} ${interval} · Signalbox`;
    for (const [key, button] of this.#intervalButtons) setAttr(button, "aria-pressed", String(key === interval));
    this.#chart.begin();
    this.#applyOverlays();
    this.drawQuote();
    this.#tellChart();
  }

  goTo(t) {
    this.#chart.goTo(t);
  }

  drawQuote() {
    const quote = this.#market.quotes.get(this.#market.series.symbol);
    setText(byId("quote-symbol"), quote.symbol);
    setText(byId("quote-price"), price(quote.price));
    const change = byId("quote-change");
    setText(change, quote.changeRatio === null ? "" : `${signed(quote.change)} (${percent(quote.changeRatio)})`);
    setAttr(change, "title", `Change since ${quote.reference()[1]}`);
    setData(byId("quote-price").parentElement, "way", quote.change > 0 ? "up" : quote.change < 0 ? "down" : "flat");
    const badge = byId("quote-badge");
    badge.hidden = !quote.source;
    setData(badge, "source", quote.source ?? "");
    setText(badge, BADGES[quote.source] ?? "");
    this.#session(quote.session);
    this.#allowIntervals(quote);
    if (badge.dataset.signed !== quote.source) this.#chart.sign(quote.source);
    setData(badge, "signed", quote.source ?? "");
  }

  /** Says over the chart why there is nothing (or nothing new) to see; null takes it away. kind: busy, wait, error. */
  veil(kind, title = "", text = "") {
    const veil = byId("veil");
    veil.hidden = kind === null;
    if (kind === null) return;
    setData(veil, "kind", kind);
    setText(byId("veil-title"), title);
    setText(byId("veil-text"), text);
  }

  #session(session) {
    const root = byId("quote-session");
    root.hidden = !session;
    if (!session) return;
    const figures = [["Session O", price(session.o)], ["H", price(session.h)], ["L", price(session.l)], ["Vol", compact(session.v)]];
    if (session.vw !== undefined) figures.push(["VWAP", price(session.vw)]);
    while (root.children.length > figures.length) root.lastChild.remove();
    while (root.children.length < figures.length) root.append(el("div", {}, el("dt"), el("dd", { class: "num" })));
    figures.forEach(([label, text], i) => {
      setText(root.children[i].firstChild, label);
      setText(root.children[i].lastChild, text);
    });
  }

  #drawn() {
    const { series, marks } = this.#market;
    setData(byId("chart"), "bars", String(series.bars.length));
    const bar = (this.#hovered !== null && series.at(this.#hovered)) || series.last;
    this.#legend.arrange(this.#chart.lines.shown);
    this.#placeLabels();
    const values = bar && (series.valuesAt(bar.t) ?? (bar === series.last ? series.lastValues : null));
    const signals = bar === null ? [] : marks.of(series.symbol, series.interval).filter((signal) => signal.t === bar.t);
    this.#legend.show(bar, bar && series.before(bar.t), values, signals, series.interval, this.#hovered !== null);
    this.#describe();
  }

  #placeLabels() {
    nextFrame("panes", () => {
      // The chart lays out a new pane in a frame of its own.
      if (!this.#legend.place(this.#chart.paneTops())) this.#placeLabels();
    });
  }

  #hover(t) {
    this.#hovered = t;
    nextFrame("hover", () => this.#drawn());
  }

  #follow(following) {
    byId("follow").hidden = following || !this.#market.series?.last;
  }

  #tellChart() {
    const { symbol, interval, last } = this.#market.series;
    setAttr(byId("chart"), "aria-label", describe(symbol, interval, last));
  }

  #makeIntervals(onInterval) {
    for (const interval of INTERVALS) {
      const button = el("button", { type: "button", "data-interval": interval, "aria-pressed": "false" }, interval);
      button.addEventListener("click", () => onInterval(interval));
      this.#intervalButtons.set(interval, button);
      byId("intervals").append(button);
    }
  }

  #allowIntervals(quote) {
    for (const [interval, button] of this.#intervalButtons) {
      const missing = !quote.has(interval);
      if (button.disabled === missing) continue;
      button.disabled = missing;
      button.title = missing ? `${quote.symbol} has no ${interval} bars` : "";
    }
  }

  #makeOverlays() {
    for (const overlay of OVERLAYS) {
      const swatch = el("i", { class: "swatch", "aria-hidden": "true" });
      swatch.style.background = overlay.lines.at(-1).color;
      const button = el("button", { type: "button", class: "chip", "data-overlay": overlay.id, title: overlay.title }, swatch, overlay.label);
      button.addEventListener("click", () => this.#toggle(overlay.id));
      this.#overlayButtons.set(overlay.id, button);
      byId("overlays").append(button);
    }
  }

  #toggle(id) {
    if (!this.#enabled.delete(id)) this.#enabled.add(id);
    remember("overlays", [...this.#enabled]);
    this.#applyOverlays();
  }

  #applyOverlays() {
    const analysed = ANALYSED.includes(this.#market.series.interval);
    byId("overlays-note").hidden = analysed;
    byId("overlays").hidden = !analysed;
    for (const [id, button] of this.#overlayButtons) {
      setAttr(button, "aria-pressed", String(this.#enabled.has(id)));
    }
    this.#chart.showOverlays(analysed ? [...OVERLAY_BY_ID.values()].filter(({ id }) => this.#enabled.has(id)) : []);
  }

  #keys() {
    const actions = {
      ArrowLeft: () => this.#chart.move(-10), ArrowRight: () => this.#chart.move(10), "+": () => this.#chart.zoom(1.25), "=": () => this.#chart.zoom(1.25),
      "-": () => this.#chart.zoom(0.8), End: () => this.#chart.follow(),
    };
    byId("chart").addEventListener("keydown", (event) => {
      if (!actions[event.key] || event.ctrlKey || event.metaKey) return;
      actions[event.key]();
      event.preventDefault();
    });
    document.addEventListener("keydown", (event) => {
      const button = this.#intervalButtons.get(INTERVALS[Number(event.key) - 1]);
      if (button && !button.disabled && !event.ctrlKey && !event.metaKey && !event.altKey) button.click();
    });
  }
}

/** The interval to show when the wanted one does not exist: the nearest in length. */
export function bestInterval(quote, wanted) {
  if (quote.has(wanted)) return wanted;
  const distance = (interval) => Math.abs(Math.log(SECONDS[interval] / SECONDS[wanted]));
  return INTERVALS.filter((interval) => quote.has(interval)).sort((a, b) => distance(a) - distance(b))[0] ?? wanted;
}

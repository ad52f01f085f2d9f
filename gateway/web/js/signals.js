// The list of signals and the tape of trades.

import { el, setAttr, setText } from "./dom.js";
import { barTime, clock, clockMillis, number, price, splitSymbol, weekday } from "./format.js";
import { nextFrame, throttled } from "./frame.js";
import { words } from "./signalbook.js";

const ROWS = 80;
const FILTERS = [
  ["symbol", "This symbol", "Only the symbol on the chart"],
  ["1s", "1s", "Signals of one-second bars, of the symbol on the chart"],
  ["1m", "1m", "Signals of one-minute bars"],
  ["1d", "1d", "Signals of daily bars"],
];

function originally(signal) {
  return signal.replayOf === undefined || signal.replayOf === signal.t ? null : `Replay of ${weekday(signal.replayOf)}${signal.interval === "1d" ? "" : ` ${clock(signal.replayOf)} UTC`}`;
}

function signalRow(signal) {
  const [name, what] = words(signal.type);
  const strength = Math.round((signal.strength ?? 0) * 100);
  const meter = el("span", { class: "meter", role: "img", "aria-label": `strength ${strength} of 100`, title: `Strength ${strength} of 100` }, el("i"));
  meter.firstChild.style.width = `${Math.max(4, strength)}%`;
  const [ticker, venue] = splitSymbol(signal.symbol);
  const button = el(
    "button", { type: "button", class: "signal", "data-way": signal.up ? "up" : "down", "data-key": signal.key },
    el("span", { class: "signal-arrow", "aria-label": signal.up ? "up" : "down" }, signal.up ? "▲" : "▼"),
    el("span", { class: "signal-name" }, name), el("span", { class: "signal-price num" }, price(signal.price)),
    el("span", { class: "signal-what" }, what),
    el("span", { class: "signal-where" }, el("b", {}, ticker), ` ${venue} · ${signal.interval}`, meter),
    el("time", { class: "signal-time num", title: originally(signal) }, barTime(signal.interval === "1d" ? signal.t : signal.tc, signal.interval)),
  );
  return el("li", { class: signal.history ? "" : "fresh" }, button);
}

export class SignalList {
  #list;
  #empty;
  #market;
  #rows = new Map();
  #filters = { symbol: false, "1s": false, "1m": true, "1d": true };
  #buttons = new Map();
  #ask;
  shownSymbol = "";

  constructor({ list, empty, filters }, market, onChoose, onSeconds) {
    this.#list = list;
    this.#empty = empty;
    this.#market = market;
    this.#ask = throttled("signals", 150, () => this.#draw());
    for (const [key, label, title] of FILTERS) filters.append(this.#button(key, label, title, onSeconds));
    market.on("signal", () => this.#ask());
    list.addEventListener("click", (event) => {
      const key = event.target.closest(".signal")?.dataset.key;
      const signal = key && market.signals.list.find((candidate) => candidate.key === key);
      if (signal) onChoose(signal);
    });
  }

  showSymbol(symbol, interval, onSeconds) {
    this.shownSymbol = symbol;
    if (interval === "1s" && !this.#filters["1s"]) this.#toggle("1s", onSeconds);
    else onSeconds(this.#filters["1s"] ? symbol : null);
    this.#ask();
  }

  #button(key, label, title, onSeconds) {
    const button = el("button", { type: "button", class: "chip", title, "aria-pressed": String(this.#filters[key]) }, label);
    button.addEventListener("click", () => this.#toggle(key, onSeconds));
    this.#buttons.set(key, button);
    return button;
  }

  #toggle(key, onSeconds) {
    this.#filters[key] = !this.#filters[key];
    setAttr(this.#buttons.get(key), "aria-pressed", String(this.#filters[key]));
    if (key === "1s") onSeconds(this.#filters[key] ? this.shownSymbol : null);
    this.#ask();
  }

  #wanted(signal) {
    const ofThis = this.#filters.symbol || signal.interval === "1s";
    return this.#filters[signal.interval] && (!ofThis || signal.symbol === this.shownSymbol);
  }

  /** Keeps the rows that stay, so that focus and scroll position stay with them. */
  #draw() {
    const wanted = this.#market.signals.list.filter((signal) => this.#wanted(signal)).slice(0, ROWS);
    const rows = new Map(wanted.map((signal) => [signal.key, this.#rows.get(signal.key) ?? signalRow(signal)]));
    for (const [key, row] of this.#rows) if (!rows.has(key)) row.remove();
    let previous = null;
    for (const row of rows.values()) {
      const place = previous ? previous.nextSibling : this.#list.firstChild;
      if (row !== place) this.#list.insertBefore(row, place);
      previous = row;
    }
    this.#rows = rows;
    this.#empty.hidden = rows.size > 0;
  }
}

export class Tape {
  #rows = [];
  #list;
  #empty;
  #market;
  #ask;

  constructor(list, empty, market) {
    this.#list = list;
    this.#empty = empty;
    this.#market = market;
    this.#ask = throttled("tape", 120, () => this.draw());
    market.on("tape", () => this.#ask());
  }

  draw() {
    const { tape, series } = this.#market;
    this.#empty.hidden = tape.length > 0;
    const quote = series && this.#market.quotes.get(series.symbol);
    setText(this.#empty, quote && !quote.intraday && quote.price !== null ? "This symbol has daily bars only: no trades." : "Waiting for the first trade…");
    if (this.#list.closest("[hidden]")) return;
    while (this.#rows.length < tape.length) this.#rows.push(this.#row());
    this.#rows.forEach((row, i) => this.#fill(row, tape[i], tape[i + 1]));
  }

  #row() {
    const cells = [el("span", { class: "tape-time" }), el("span", { class: "tape-price" }), el("span", { class: "tape-size" })];
    const node = el("li", {}, ...cells);
    this.#list.append(node);
    return { node, cells };
  }

  #fill({ node, cells }, tick, older) {
    node.hidden = tick === undefined;
    if (!tick) return;
    node.dataset.way = older ? (tick.p > older.p ? "up" : tick.p < older.p ? "down" : "flat") : "flat";
    [clockMillis(tick.t), price(tick.p), number(tick.s, Number.isInteger(tick.s) ? 0 : 4)].forEach((text, i) => setText(cells[i], text));
  }
}

/** Two tabs with arrow keys. */
export function tabs(buttons, onShow) {
  const show = (chosen) => {
    for (const button of buttons) {
      const selected = button === chosen;
      button.setAttribute("aria-selected", String(selected));
      button.tabIndex = selected ? 0 : -1;
      document.getElementById(button.getAttribute("aria-controls")).hidden = !selected;
    }
    nextFrame("tab", onShow);
  };
  buttons.forEach((button, i) => {
    button.addEventListener("click", () => show(button));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const next = buttons[(i + 1) % buttons.length];
      show(next);
      next.focus();
    });
  });
}

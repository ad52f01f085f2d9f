// The watch list: one row a symbol, changed in place.

import { el, setAttr, setData, setText } from "./dom.js";
import { percent, price, signed, splitSymbol } from "./format.js";
import { nextFrame, throttled } from "./frame.js";
import { points, sparkline } from "./sparkline.js";

const SOURCES = { replay: "Replay", synthetic: "Synthetic", live: "Live" };

class Row {
  #flash = 0;
  #price = null;

  constructor(symbol) {
    const [ticker, venue] = splitSymbol(symbol);
    this.symbol = symbol;
    this.badge = el("span", { class: "badge" });
    this.spark = sparkline();
    this.price = el("span", { class: "row-price num" }, "–");
    this.change = el("span", { class: "row-change num" });
    this.node = el(
      "li", { class: "row", role: "option", id: `row-${symbol}`, "data-symbol": symbol, "aria-selected": "false", tabindex: "-1" },
      el("span", { class: "row-name" }, el("span", { class: "row-ticker" }, ticker), el("span", { class: "row-venue" }, venue, " ", this.badge)),
      this.spark, el("span", { class: "row-figures" }, this.price, this.change),
    );
  }

  draw(quote) {
    setText(this.price, price(quote.price));
    const [, reference] = quote.reference();
    setText(this.change, quote.changeRatio === null ? "" : percent(quote.changeRatio));
    setAttr(this.change, "title", `${signed(quote.change)} since ${reference}`);
    setData(this.node, "way", quote.change > 0 ? "up" : quote.change < 0 ? "down" : "flat");
    setData(this.badge, "source", quote.source ?? "");
    setText(this.badge, SOURCES[quote.source] ?? "");
    if (this.#price !== null && quote.price !== this.#price) this.#blink(quote.price > this.#price);
    this.#price = quote.price;
  }

  drawSpark(quote) {
    setAttr(this.spark.firstElementChild, "points", points(quote.spark));
  }

  // Two names for the same animation: changing between them starts it again.
  #blink(up) {
    this.#flash = 1 - this.#flash;
    setData(this.price, "flash", `${up ? "up" : "down"}${this.#flash}`);
  }
}

export class WatchList {
  #list;
  #rows = new Map();
  #changed = new Set();
  #empty;
  #count;
  #market;
  #onChoose;
  #drawSparks;

  constructor({ list, empty, count }, market, onChoose) {
    this.#list = list;
    this.#empty = empty;
    this.#count = count;
    this.#market = market;
    this.#onChoose = onChoose;
    this.#drawSparks = throttled("sparks", 700, () => this.#sparks());
    market.on("quote", (symbol) => this.#ask(symbol));
    list.addEventListener("click", (event) => this.#choose(event.target.closest(".row")));
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  select(symbol) {
    for (const row of this.#rows.values()) {
      const selected = row.symbol === symbol;
      setAttr(row.node, "aria-selected", String(selected));
      setAttr(row.node, "tabindex", selected ? "0" : "-1");
    }
    this.selected = symbol;
    const node = this.#rows.get(symbol)?.node;
    // Only the strip on a phone scrolls sideways; scrollIntoView would move the page too.
    if (node && this.#list.scrollWidth > this.#list.clientWidth) this.#list.scrollLeft = node.offsetLeft - this.#list.offsetLeft - 12;
  }

  #ask(symbol) {
    this.#changed.add(symbol);
    nextFrame("watch", () => this.#draw());
    this.#drawSparks();
  }

  #draw() {
    for (const symbol of this.#changed) this.#row(symbol).draw(this.#market.quotes.get(symbol));
    this.#changed.clear();
  }

  #sparks() {
    if (this.#ordered() !== this.#order) this.#sort();
    for (const row of this.#rows.values()) row.drawSpark(this.#market.quotes.get(row.symbol));
  }

  #order = "";

  #ordered() {
    return this.#sorted().join();
  }

  /** What trades first, then what has daily bars only, synthetic last. */
  #sorted() {
    const rank = (symbol) => {
      const quote = this.#market.quotes.get(symbol);
      return quote.source === "synthetic" ? 2 : quote.intraday ? 0 : 1;
    };
    return [...this.#rows.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  }

  #sort() {
    const focused = document.activeElement;
    this.#order = this.#ordered();
    this.#list.append(...this.#sorted().map((symbol) => this.#rows.get(symbol).node));
    if (this.#list.contains(focused)) focused.focus();
    this.select(this.selected);
  }

  #row(symbol) {
    let row = this.#rows.get(symbol);
    if (!row) {
      row = new Row(symbol);
      this.#rows.set(symbol, row);
      this.#empty.hidden = true;
      setText(this.#count, String(this.#rows.size));
      this.#list.append(row.node);
    }
    return row;
  }

  #choose(node) {
    if (node) this.#onChoose(node.dataset.symbol);
  }

  #key(event) {
    const rows = [...this.#list.children];
    const at = rows.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const to = step ? at + step : { Home: 0, End: rows.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#choose(document.activeElement.closest(".row"));
    else if (rows[to]) rows[to].focus();
    else return;
    event.preventDefault();
  }
}

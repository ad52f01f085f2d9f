// What the crosshair points at, or the newest bar: time, prices, indicator values, signals.

import { barTime, clock, compact, number, percent, price, signed, weekday, whole } from "./format.js";
import { el, setData, setText } from "./dom.js";
import { words } from "./signalbook.js";

//: Left out on a narrow screen, where the legend would hide the candles.
const MINOR = new Set(["vw", "n"]);

export class Legend {
  #root;
  #panes;
  #cells = new Map();
  #overlayKey = "";
  #rows;

  constructor(root, panes) {
    this.#root = root;
    this.#panes = panes;
    this.#rows = ["when", "prices", "lines", "events"].map((name) => el("div", { class: `legend-row legend-${name}` }));
    root.replaceChildren(...this.#rows);
    const [when, prices] = this.#rows;
    when.append(this.#cell("time", "legend-time num"), this.#cell("original", "legend-original num"), this.#cell("state", "legend-state"));
    for (const [key, label] of [["o", "O"], ["h", "H"], ["l", "L"], ["c", "C"], ["change", ""], ["v", "Vol"], ["vw", "VWAP"], ["n", "Trades"]]) {
      prices.append(el("span", { class: MINOR.has(key) ? "pair pair-minor" : "pair" }, label ? el("span", { class: "key" }, label) : null, this.#cell(key, "num")));
    }
  }

  /** Makes the places for the values of what is shown. */
  arrange(shown) {
    const key = shown.map(({ overlay, pane }) => `${overlay.id}${pane}`).join();
    if (key === this.#overlayKey) return;
    this.#overlayKey = key;
    this.#rows[2].replaceChildren(...shown.filter(({ pane }) => pane === 0).flatMap(({ overlay }) => this.#values(overlay)));
    this.#panes.replaceChildren(
      ...shown.filter(({ pane }) => pane > 0).map(({ overlay, pane }) => el("div", { class: "pane-label", "data-pane": String(pane) }, ...this.#values(overlay))),
    );
  }

  /** Puts the panes' labels where the panes are; returns whether all of them are laid out. */
  place(tops) {
    let complete = true;
    for (const label of this.#panes.children) {
      const top = tops[Number(label.dataset.pane)] ?? null;
      label.hidden = top === null;
      if (top === null) complete = false;
      else label.style.top = `${Math.round(top) + 4}px`;
    }
    return complete;
  }

  /** Shows `bar` (null: nothing yet); `chosen` when the crosshair is on it. */
  show(bar, before, values, signals, interval, chosen) {
    setData(this.#root, "chosen", String(chosen));
    this.#root.hidden = bar === null;
    if (!bar) return;
    this.#root.dataset.t = String(bar.t);
    this.#root.dataset.close = String(bar.c);
    this.#when(bar, interval);
    const move = before ? bar.c - before.c : bar.c - bar.o;
    this.#rows[1].dataset.way = move > 0 ? "up" : move < 0 ? "down" : "flat";
    for (const key of ["o", "h", "l", "c"]) this.#set(key, price(bar[key]));
    this.#set("change", `${signed(move)} (${percent(move / (before ? before.c : bar.o))})`);
    this.#set("v", compact(bar.v));
    this.#set("vw", bar.vw === undefined ? "–" : price(bar.vw));
    this.#set("n", whole(bar.n));
    for (const [key, node] of this.#cells) if (key.startsWith("value:")) setText(node, number(values?.[key.slice(6)]));
    setText(this.#rows[3], signals.map((signal) => `${signal.up ? "▲" : "▼"} ${words(signal.type)[0]}`).join("   "));
  }

  #when(bar, interval) {
    this.#set("time", interval === "1d" ? weekday(bar.t) : `${weekday(bar.t)} ${clock(bar.t)} UTC`);
    this.#set("original", replayed(bar, interval));
    setData(this.#cells.get("original"), "source", bar.source ?? "");
    this.#set("state", bar.final ? "" : "forming");
  }

  #values(overlay) {
    const title = overlay.pane === "price" ? null : el("span", { class: "pane-title" }, overlay.label);
    const one = overlay.lines.length === 1 && title;
    const pairs = overlay.lines.map((line) => {
      const value = this.#cell(`value:${line.key}`, "num");
      value.style.color = line.kind === "histogram" ? "" : line.color;
      return el("span", { class: "pair" }, one ? null : el("span", { class: "key" }, line.label), value);
    });
    return title ? [title, ...pairs] : pairs;
  }

  #cell(key, classes) {
    const node = el("span", { class: classes });
    this.#cells.set(key, node);
    return node;
  }

  #set(key, text) {
    setText(this.#cells.get(key), text);
  }
}

function replayed(bar, interval) {
  if (bar.replayOf === undefined) return bar.source === "synthetic" ? "synthetic" : "";
  if (bar.replayOf === bar.t) return "replay at its original time";
  return `replay of ${weekday(bar.replayOf)}${interval === "1d" ? "" : ` ${clock(bar.replayOf)} UTC`}`;
}

/** One sentence for those who do not see the chart. */
export function describe(symbol, interval, bar) {
  if (!bar) return `Chart of ${symbol}, ${interval} bars, no bar yet`;
  return `Chart of ${symbol}, ${interval} bars. Newest ${barTime(bar.t, interval)} UTC: open ${price(bar.o)}, high ${price(bar.h)}, low ${price(bar.l)}, close ${price(bar.c)}`;
}

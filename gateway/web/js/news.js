// News beside the chart: articles as they come, and which feeds cannot be reached.

import { el, setAttr, setData, setText } from "./dom.js";
import { age, clock, shortDay, splitSymbol } from "./format.js";
import { throttled } from "./frame.js";
import { field, getJson } from "./system.js";

const KEEP = 200;
const ROWS = 60;
const FEEDS_EVERY_MS = 15_000;
const FAILING = new Set(["FEED_HEALTH_FAILING", 2]);

const when = (ms) => `${shortDay(ms)} ${clock(ms).slice(0, 5)}`;

function sentiment(article) {
  const label = article.label || "neutral";
  return el("i", { class: "mood", "data-mood": label, role: "img", "aria-label": label, title: `${label} (${(article.sentiment ?? 0).toFixed(2)})` });
}

function headline(article) {
  // The title is another's text: it is only ever set as text, and the link is taken only if it is one of the web.
  const isLink = /^https?:\/\//.test(article.url ?? "");
  return isLink ? el("a", { href: article.url, target: "_blank", rel: "noopener noreferrer" }, article.title) : el("span", {}, article.title);
}

function row(article) {
  const published = article.t === undefined ? "no date given" : when(article.t);
  const symbols = (article.symbols ?? []).map((symbol) => el("button", { type: "button", class: "news-symbol", "data-symbol": symbol, title: `Show ${symbol}` }, splitSymbol(symbol)[0]));
  return el(
    "li", { class: article.hist ? "" : "fresh", "data-id": article.id, "data-story": article.story ?? "" },
    el("p", { class: "news-title", title: article.summary || null }, sentiment(article), headline(article)),
    el(
      "p", { class: "news-about" },
      el("span", { class: "news-source" }, article.publisher || article.feed), el("time", { class: "num", title: "When the publisher says it appeared, UTC" }, published),
      article.recorded ? el("span", { class: "badge", "data-source": "replay", title: "Recorded earlier, shown as a demonstration" }, "Recorded") : null, ...symbols,
    ),
  );
}

export class NewsList {
  #nodes;
  #articles = new Map();
  #symbol = "";
  #onlyThis = false;
  #ask;

  /** nodes: {list, empty, only, feeds}; onChoose(symbol). */
  constructor(nodes, onChoose) {
    this.#nodes = nodes;
    this.#ask = throttled("news", 200, () => this.#draw());
    nodes.only.addEventListener("click", () => this.#toggle());
    nodes.list.addEventListener("click", (event) => {
      const symbol = event.target.closest(".news-symbol")?.dataset.symbol;
      if (symbol) onChoose(symbol);
    });
    this.#poll();
  }

  take(messages) {
    for (const message of messages) if (message.T === "news") this.#put(message);
  }

  showSymbol(symbol) {
    this.#symbol = symbol;
    if (this.#onlyThis) this.#ask();
  }

  #put(article) {
    const known = this.#articles.get(article.id);
    if (known && known.rev >= article.rev) return;
    this.#articles.delete(article.id);
    this.#articles.set(article.id, article);
    if (this.#articles.size > KEEP) this.#articles.delete(this.#articles.keys().next().value);
    this.#ask();
  }

  #toggle() {
    this.#onlyThis = !this.#onlyThis;
    setAttr(this.#nodes.only, "aria-pressed", String(this.#onlyThis));
    this.#draw();
  }

  #draw() {
    const wanted = [...this.#articles.values()].filter((article) => !this.#onlyThis || article.symbols?.includes(this.#symbol));
    // By when it reached us; of one moment, by what the publisher says.
    wanted.sort((a, b) => (b.t ?? 0) - (a.t ?? 0));
    this.#nodes.list.replaceChildren(...wanted.slice(0, ROWS).map(row));
    this.#nodes.empty.hidden = wanted.length > 0;
    setText(this.#nodes.empty, this.#onlyThis && this.#articles.size > 0 ? `No news about ${this.#symbol}.` : "No news yet.");
  }

  async #poll() {
    try {
      if (!document.hidden) this.#showFeeds((await getJson("/v1/news/feeds")).feeds ?? []);
    } catch (error) {
      this.#say("unknown", `State of the feeds unknown: ${error.message}`, "");
    }
    setTimeout(() => this.#poll(), FEEDS_EVERY_MS);
  }

  #showFeeds(feeds) {
    const failing = feeds.filter((feed) => FAILING.has(field(feed, "health")));
    if (failing.length === 0) {
      this.#say("ok", `${feeds.length} feeds, all reachable`, feeds.map((feed) => feed.name).join("\n"));
      return;
    }
    const since = failing.map((feed) => Date.parse(field(feed, "failing_since"))).filter(Number.isFinite);
    const first = since.length ? ` since ${clock(Math.min(...since)).slice(0, 5)} UTC (${age((Date.now() - Math.min(...since)) / 1000)})` : "";
    const lines = failing.map((feed) => `${feed.name}: since ${field(feed, "failing_since") ?? "?"}: ${field(feed, "last_error")}`);
    this.#say("failing", `Not reached${first}: ${failing.map((feed) => feed.name).join(", ")}`, lines.join("\n"));
  }

  #say(state, text, title) {
    setData(this.#nodes.feeds, "state", state);
    setText(this.#nodes.feeds, text);
    setAttr(this.#nodes.feeds, "title", title);
  }
}

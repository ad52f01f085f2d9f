// News beside the chart: articles as they come, and which feeds cannot be reached.

import { el, setAttr, setData, setText } from "./dom.js";
import { age, clock, moment, shortDay, shortMoment, splitSymbol } from "./format.js";
import { throttled } from "./frame.js";
import { field, getJson } from "./system.js";

const KEEP = 200;
const ROWS = 60;
const FEEDS_EVERY_MS = 15_000;

const when = (ms) => `${shortDay(ms)} ${clock(ms).slice(0, 5)}`;
/** Published, or if that is not known when it reached us. */
const order = (article) => article.t ?? (article.ts_recv ?? 0) / 1000;

/** Names, those of one publisher (yahoo/AAPL.XNAS) as one. */
function grouped(feeds) {
  const counts = new Map();
  for (const { name } of feeds) counts.set(name.split("/")[0], (counts.get(name.split("/")[0]) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count > 1 ? `${name} (${count})` : name)).join(", ");
}

function feedRow(feed) {
  const since = Date.parse(field(feed, "failing_since"));
  const text = Number.isFinite(since) ? `since ${moment(since)}: ${field(feed, "last_error")}` : field(feed, "last_error");
  return el("li", { "data-feed": feed.name }, el("b", {}, feed.name), ` ${text}`);
}

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

  /** nodes: {list, empty, only, feeds, feedsText, feedsList}; onChoose(symbol). */
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
    wanted.sort((a, b) => order(b) - order(a));
    this.#nodes.list.replaceChildren(...wanted.slice(0, ROWS).map(row));
    this.#nodes.empty.hidden = wanted.length > 0;
    setText(this.#nodes.empty, this.#onlyThis && this.#articles.size > 0 ? `No news about ${this.#symbol}.` : "No news yet.");
  }

  async #poll() {
    try {
      if (!document.hidden) this.#showFeeds((await getJson("/v1/news/feeds")).feeds ?? []);
    } catch (error) {
      this.#say("unknown", `State of the feeds unknown: ${error.message}`, []);
    }
    setTimeout(() => this.#poll(), FEEDS_EVERY_MS);
  }

  #showFeeds(feeds) {
    const live = feeds.filter((feed) => field(feed, "health") !== "FEED_HEALTH_RECORDED");
    const failing = live.filter((feed) => field(feed, "health") === "FEED_HEALTH_FAILING");
    if (failing.length > 0) {
      const since = Math.min(...failing.map((feed) => Date.parse(field(feed, "failing_since"))).filter(Number.isFinite));
      const times = Number.isFinite(since) ? ` since ${shortMoment(since)} UTC (${age((Date.now() - since) / 1000)})` : "";
      this.#say("failing", `${failing.length} of ${live.length} feeds not reached${times}: ${grouped(failing)}`, failing);
      return;
    }
    const fresh = live.filter((feed) => field(feed, "health") === "FEED_HEALTH_NEW").length;
    this.#say("ok", fresh > 0 ? `${fresh} of ${live.length} feeds not asked yet` : `${live.length} feeds, all reached`, []);
  }

  #say(state, text, failing) {
    setData(this.#nodes.feeds, "state", state);
    setText(this.#nodes.feedsText, text);
    this.#nodes.feedsList.replaceChildren(...failing.map(feedRow));
  }
}

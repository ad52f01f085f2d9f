// Puts the page together: state, connection, parts.

import { ConnectionNotice } from "./connection.js";
import { byId, setText } from "./dom.js";
import { throttled } from "./frame.js";
import { Market } from "./market.js";
import { NewsList } from "./news.js";
import { DEFAULT_INTERVAL, DEFAULT_SYMBOL, INTERVALS, readRoute, writeRoute } from "./route.js";
import { loadSeries } from "./serieslist.js";
import { SignalList, tabs, Tape } from "./signals.js";
import { StreamSocket } from "./socket.js";
import { bestInterval, Stage } from "./stage.js";
import { Subscriptions } from "./subscriptions.js";
import { SystemPanel } from "./system.js";
import { TopBar } from "./topbar.js";
import { WatchList } from "./watchlist.js";
import { WorkPanel } from "./work.js";

const market = new Market();
const socket = new StreamSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`, {
  onState: (state, detail) => connectionChanged(state, detail),
  onOpen: () => subscriptions.begin(),
  onMessages: (messages) => [market, news, work].forEach((part) => part.take(messages)),
  onHole: () => lostMessages(),
});
const subscriptions = new Subscriptions(socket);
const topBar = new TopBar(market);
const notice = new ConnectionNotice(market, socket);
const stage = new Stage(market, (interval) => show(market.series.symbol, interval));
const seconds = (symbol) => subscriptions.wantSeconds(symbol);
const watchList = new WatchList({ list: byId("watch"), empty: byId("watch-empty"), count: byId("watch-count") }, market, (symbol) => choose(symbol));
const signalList = new SignalList({ list: byId("signals"), empty: byId("signals-empty"), filters: byId("filters") }, market, (signal) => jump(signal), seconds);
const tape = new Tape(byId("tape"), byId("tape-empty"), market);
const system = new SystemPanel({ list: byId("processes"), flows: byId("flows"), state: byId("system-state") }, (status) => topBar.system(status));
const news = new NewsList({
  list: byId("news"), empty: byId("news-empty"), only: byId("news-only"), feeds: byId("feeds-state"), feedsText: byId("feeds-text"), feedsList: byId("feeds-list"),
}, (symbol) => choose(symbol));
const work = new WorkPanel({
  report: byId("report"), make: byId("make-report"), jobs: byId("jobs"), jobsEmpty: byId("jobs-empty"), schedule: byId("schedule"), leader: byId("leader"),
  alerts: byId("alerts"), note: byId("work-note"), trouble: byId("work-trouble"), announce: byId("announce"),
});
tabs([byId("tab-signals"), byId("tab-trades")], () => tape.draw());

//: The interval that was last asked for; a symbol that lacks it does not make it forgotten.
let wanted = readRoute().interval ?? DEFAULT_INTERVAL;
let historyLoaded = false;
let goal = null;

function show(symbol, interval) {
  historyLoaded = false;
  goal = null;
  wanted = interval;
  market.show(symbol, interval);
  writeRoute(symbol, interval);
  stage.begin();
  watchList.select(symbol);
  signalList.showSymbol(symbol, interval, seconds);
  news.showSymbol(symbol);
  tape.draw();
  subscriptions.show(symbol, interval);
  drawVeil();
}

function choose(symbol) {
  const keep = wanted;
  show(symbol, bestInterval(market.quote(symbol), wanted));
  wanted = keep;
}

function jump(signal) {
  if (market.series.symbol !== signal.symbol || market.series.interval !== signal.interval) {
    show(signal.symbol, signal.interval);
    goal = signal.t;
  } else {
    stage.goTo(signal.t);
  }
  setText(byId("announce"), `Showing ${signal.symbol}, ${signal.interval}`);
}

/** What stands over an empty chart. */
function drawVeil(refusal = null) {
  const { symbol, interval, last } = market.series;
  if (refusal) stage.veil("error", refusal.code === 404 ? `${symbol} is not known here` : "The stream refused this series", refusal.msg ?? "");
  else if (last && (historyLoaded || market.series.bars.length > 1)) stage.veil(null);
  else if (socket.state !== "open") stage.veil("busy", "Connecting", "The chart appears as soon as the stream answers.");
  else if (!historyLoaded) stage.veil("busy", `Loading ${symbol}`, `the last bars of ${interval}`);
  else stage.veil("wait", "Waiting for the first bar", `${symbol} has no ${interval} bar yet. It appears here with the first trade.${unlisted(symbol)}`);
}

function unlisted(symbol) {
  return market.quotes.get(symbol).source === null ? " Nothing is kept for this symbol: is it spelt as you want it (ticker dot market, for instance AAPL.XNAS)?" : "";
}

function connectionChanged(state, detail) {
  topBar.drawLink(state);
  notice.show(state, detail);
  document.body.dataset.connection = state;
  if (state === "connecting") market.latency.reset();
  if (state === "waiting") historyLoaded = false;
  if (market.series) drawVeil();
}

function lostMessages() {
  market.counters.holes += 1;
  system.lost(market.counters.holes + market.counters.dropped);
  subscriptions.refetch();
}

market.on("history", ({ id }) => {
  if (id !== subscriptions.chartId) return;
  historyLoaded = true;
  drawVeil();
  if (goal !== null) stage.goTo(goal);
  goal = null;
});
market.on("refused", (error) => {
  if (error.id === subscriptions.chartId) drawVeil(error);
  else if (!error.id?.startsWith("ticks-")) notice.refused(error);
});
market.on("gap", () => system.lost(market.counters.holes + market.counters.dropped));
market.on("bars", throttled("veil", 300, () => drawVeil()));
setInterval(() => topBar.drawSign(market.quotes.get(market.series.symbol), market.series.interval), 100);

addEventListener("hashchange", () => {
  const route = readRoute();
  const symbol = route.symbol ?? DEFAULT_SYMBOL;
  const interval = route.interval ?? DEFAULT_INTERVAL;
  if (symbol !== market.series.symbol || interval !== market.series.interval) show(symbol, interval);
});

const route = readRoute();
show(route.symbol ?? DEFAULT_SYMBOL, wanted);
socket.connect();
loadSeries(market, (symbols) => subscriptions.watch(symbols), () => {
  const best = bestInterval(market.quote(market.series.symbol), market.series.interval);
  if (best !== market.series.interval && INTERVALS.includes(best)) show(market.series.symbol, best);
  else stage.drawQuote();
});

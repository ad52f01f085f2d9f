// The notice under the top bar: lost connection with a countdown, refused requests.

import { byId, setData, setText } from "./dom.js";
import { clock } from "./format.js";

//: A reconnect that takes no longer than this needs no notice.
const QUIET_MS = 700;
const REFUSAL_MS = 8000;

export class ConnectionNotice {
  #market;
  #socket;
  #reason = "";
  #lostAt = null;
  #timer = 0;

  constructor(market, socket) {
    this.#market = market;
    this.#socket = socket;
    byId("retry").addEventListener("click", () => socket.connect());
  }

  show(state, reason) {
    clearInterval(this.#timer);
    if (state === "open") {
      this.#lostAt = null;
      byId("notice").hidden = true;
      return;
    }
    if (state !== "waiting") return;
    this.#lostAt ??= performance.now();
    this.#reason = reason;
    this.#timer = setInterval(() => this.#draw(), 250);
    this.#draw();
  }

  /** The stream refused a request that is not the chart's. */
  refused(error) {
    this.#say("warning", `The stream refused a request (${error.code}): ${error.msg ?? "no reason given"}`, false);
    setTimeout(() => {
      if (this.#lostAt === null) byId("notice").hidden = true;
    }, REFUSAL_MS);
  }

  #draw() {
    if (performance.now() - this.#lostAt < QUIET_MS) return;
    const wait = Math.max(0, Math.ceil((this.#socket.retryAt - performance.now()) / 1000));
    const why = this.#reason ? ` (${this.#reason})` : "";
    const { lastMessageAt } = this.#market;
    const stale = lastMessageAt ? `What you see is as of ${clock(lastMessageAt)} UTC.` : "Nothing has been received yet.";
    this.#say("lost", `No connection to the stream${why}. ${stale} Next try in ${wait} s.`, true);
  }

  #say(kind, text, retry) {
    setData(byId("notice"), "kind", kind);
    setText(byId("notice-text"), text);
    byId("retry").hidden = !retry;
    byId("notice").hidden = false;
  }
}

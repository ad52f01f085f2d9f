// The one connection: connects, notices silence and holes, reconnects with backoff and jitter.

const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 15_000;
//: Heartbeats come once a second (or as `welcome` says); this many missing ones mean the connection is dead even if TCP has not noticed.
const MISSED_HEARTBEATS = 6;
const CONNECT_TIMEOUT_MS = 8_000;

/**
 * States: connecting, open, waiting (for the next try; `retryAt` is when, performance.now() based).
 * Calls handlers.onState(state, detail), onOpen(), onMessages(array), onHole(expected, got).
 */
export class StreamSocket {
  #url;
  #handlers;
  #socket = null;
  #attempt = 0;
  #seq = 0;
  #heardAt = 0;
  #heartbeatMs = 1000;
  #timer = 0;
  #hintMs = null;
  #reason = "";

  state = "connecting";
  retryAt = 0;

  constructor(url, handlers) {
    this.#url = url;
    this.#handlers = handlers;
    setInterval(() => this.#watch(), 1000);
  }

  connect() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#reason = "";
    this.#seq = 0;
    this.#heardAt = performance.now();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("open", () => socket === this.#socket && this.#opened());
    socket.addEventListener("message", (event) => socket === this.#socket && this.#received(event.data));
    socket.addEventListener("close", (event) => socket === this.#socket && this.#closed(event));
    this.#become("connecting");
  }

  /** Sends one request; false when there is no connection (the page subscribes anew when there is). */
  send(request) {
    if (this.state !== "open") return false;
    this.#socket.send(JSON.stringify(request));
    return true;
  }

  #opened() {
    this.#become("open");
    this.#handlers.onOpen();
  }

  #received(data) {
    this.#heardAt = performance.now();
    let messages;
    try {
      messages = JSON.parse(data);
    } catch (error) {
      this.#fail(`unreadable frame: ${error.message}`);
      return;
    }
    if (!Array.isArray(messages)) messages = [messages];
    for (const message of messages) this.#note(message);
    this.#handlers.onMessages(messages);
  }

  #note(message) {
    if (message.T === "welcome") {
      this.#attempt = 0;
      this.#heartbeatMs = (message.heartbeat_s || 1) * 1000;
    } else if (message.T === "going_away") {
      this.#hintMs = message.reconnect_after_ms ?? null;
      this.#reason = message.reason || "the server is about to close";
    }
    if (typeof message.seq !== "number") return;
    const expected = this.#seq + 1;
    if (message.seq !== expected) this.#handlers.onHole(expected, message.seq);
    this.#seq = message.seq;
  }

  #closed(event) {
    const reason = this.#reason || event.reason || (event.code === 1013 ? "this client was too slow" : "");
    this.#socket = null;
    this.#retry(reason);
  }

  #fail(reason) {
    this.#drop();
    this.#retry(reason);
  }

  #retry(reason) {
    const backoff = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt);
    const wait = this.#hintMs ?? backoff * (0.5 + Math.random() / 2);
    this.#hintMs = null;
    this.#attempt += 1;
    this.retryAt = performance.now() + wait;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#become("waiting", reason);
  }

  #watch() {
    if (!this.#socket || this.state === "waiting") return;
    const silence = performance.now() - this.#heardAt;
    if (this.state === "open" && silence > MISSED_HEARTBEATS * this.#heartbeatMs) this.#fail("no heartbeat");
    else if (this.state === "connecting" && silence > CONNECT_TIMEOUT_MS) this.#fail("no answer");
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(1000);
  }

  #become(state, detail = "") {
    this.state = state;
    this.#handlers.onState(state, detail);
  }
}

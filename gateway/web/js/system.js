// Health of each process and the flow through them, asked every two seconds.

import { el, setAttr, setData, setText } from "./dom.js";
import { age, bytes, compact, duration, whole } from "./format.js";

const EVERY_MS = 2000;
const PATIENCE_MS = 4000;
const STATES = { 1: "ready", 2: "not ready", 3: "down", PROCESS_HEALTH_READY: "ready", PROCESS_HEALTH_NOT_READY: "not ready", PROCESS_HEALTH_DOWN: "down" };
const camel = (name) => name.replace(/_([a-z])/g, (_, c) => c.toUpperCase());

/** A field of a JSON answer under its own or its lowerCamelCase name; 64-bit numbers come as text. */
export const field = (object, name) => object[camel(name)] ?? object[name];
export const numeric = (object, name) => {
  const value = field(object, name);
  return value === undefined || value === null ? undefined : Number(value);
};

/** GET of a JSON document; throws with a sentence a person can read. */
export async function getJson(path) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), headers: { accept: "application/json" } });
  } catch (error) {
    throw new Error(`${path} does not answer`, { cause: error });
  }
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

class ProcessCard {
  constructor(name) {
    this.state = el("span", { class: "process-state" });
    this.memory = el("span", { class: "num", title: "Resident memory" });
    this.answer = el("span", { class: "num", title: "Time its health answer took" });
    this.node = el(
      "li", { class: "process", "data-process": name },
      el("span", { class: "process-head" }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "process-name" }, name)),
      this.state, el("span", { class: "process-figures" }, this.memory, this.answer),
    );
  }

  draw(process) {
    const state = STATES[field(process, "health")] ?? "unknown";
    const detail = field(process, "detail");
    const uptime = numeric(process, "uptime_seconds");
    setData(this.node, "state", state);
    setText(this.state, state === "ready" && uptime !== undefined ? `ready · up ${age(uptime)}` : state);
    setAttr(this.node, "title", detail || state);
    setText(this.memory, bytes(numeric(process, "resident_bytes")));
    setText(this.answer, duration(numeric(process, "response_ms") ?? 0));
  }

  unknown() {
    setData(this.node, "state", "unknown");
    setText(this.state, "unknown");
  }
}

const FLOWS = [
  ["ticks_lag", "Ticks lag", "Records of ticks that the prices worker has not read yet", whole],
  ["bars_lag", "Bars lag", "Records of bars that the analysis worker has not read yet", whole],
  ["messages_per_second", "Messages/s", "Messages sent to all subscribers in the last second", compact],
  ["subscribers", "Subscribers", "Clients connected now", whole],
];

export class SystemPanel {
  #nodes;
  #cards = new Map();
  #flows = new Map();
  #onStatus;
  #failures = 0;

  /** nodes: {list, flows, state}; onStatus(status) after each answer. */
  constructor(nodes, onStatus) {
    this.#nodes = nodes;
    this.#onStatus = onStatus;
    for (const [key, label, title] of [...FLOWS, ["lost", "Lost here", "Holes in the numbering and messages left out because this page was too slow"], ["version", "Version", ""]]) {
      const value = el("dd", { class: "num" }, "–");
      this.#flows.set(key, value);
      nodes.flows.append(el("div", { title }, el("dt", {}, label), value));
    }
    this.#poll();
  }

  lost(count) {
    const node = this.#flows.get("lost");
    setText(node, whole(count));
    setData(node, "bad", String(count > 0));
  }

  async #poll() {
    try {
      if (!document.hidden) this.#show(await getJson("/v1/system"));
      this.#failures = 0;
    } catch (error) {
      this.#failed(error);
    }
    setTimeout(() => this.#poll(), EVERY_MS);
  }

  #show(status) {
    const processes = field(status, "processes") ?? [];
    for (const process of processes) this.#card(process.name).draw(process);
    const names = new Set(processes.map((process) => process.name));
    for (const [name, card] of this.#cards) if (!names.has(name)) this.#forget(name, card);
    for (const [key, , , format] of FLOWS) setText(this.#flows.get(key), format(numeric(status, key) ?? (key.endsWith("lag") ? NaN : 0)));
    setText(this.#flows.get("version"), field(status, "version") || "–");
    this.#summary(processes);
    this.#onStatus(status);
  }

  #summary(processes) {
    const ready = processes.filter((process) => STATES[field(process, "health")] === "ready").length;
    const all = processes.length > 0 && ready === processes.length;
    setText(this.#nodes.state, processes.length === 0 ? "no process reported" : all ? `all ${ready} processes ready` : `${ready} of ${processes.length} processes ready`);
    setData(this.#nodes.state, "state", all ? "ready" : "bad");
  }

  #failed(error) {
    this.#failures += 1;
    setText(this.#nodes.state, `state unknown: ${error.message}`);
    setData(this.#nodes.state, "state", "unknown");
    for (const card of this.#cards.values()) card.unknown();
    this.#onStatus(null);
  }

  #card(name) {
    let card = this.#cards.get(name);
    if (!card) {
      card = new ProcessCard(name);
      this.#cards.set(name, card);
      this.#nodes.list.append(card.node);
    }
    return card;
  }

  #forget(name, card) {
    card.node.remove();
    this.#cards.delete(name);
  }
}

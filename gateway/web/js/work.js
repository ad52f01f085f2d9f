// Work that is not live: today's report, jobs with their progress, the schedule.

import { el, setAttr, setData, setText } from "./dom.js";
import { age, clock, shortDay } from "./format.js";
import { throttled } from "./frame.js";
import { field, getJson } from "./system.js";

const EVERY_MS = 5_000;
const JOBS_SHOWN = 6;
const JOBS_KEPT = 200;
const ENDED = new Set(["succeeded", "failed", "cancelled", "buried"]);

const short = (value, prefix) => String(value ?? "").replace(prefix, "").toLowerCase();

/** A job of /v1/jobs in the words of the stream. */
function toJob(job) {
  const progress = job.progress ?? {};
  const ms = (name) => (field(job, name) ? Date.parse(field(job, name)) : undefined);
  return {
    id: job.id, kind: job.kind, state: short(job.state, "JOB_STATE_"), done: progress.done ?? 0, total: progress.total ?? 0, unit: progress.unit ?? "",
    message: field(job, "last_error") || progress.message || "", created: ms("created_at"), started: ms("started_at"), ended: ms("ended_at"),
    eta: ms("estimated_end_at"), t: ms("ended_at") ?? ms("started_at") ?? ms("created_at") ?? 0,
  };
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message ?? said.detail ?? `${path} answered ${answer.status}`);
  return said;
}

class JobRow {
  constructor(job, onCancel) {
    this.state = el("span", { class: "job-state" });
    this.text = el("span", { class: "job-text" });
    this.bar = el("progress", { max: "1", "aria-label": `Progress of ${job.kind}` });
    this.cancel = el("button", { type: "button", class: "job-cancel", title: "Cancel this job", "aria-label": `Cancel ${job.kind} ${job.id}` }, "×");
    this.cancel.addEventListener("click", () => onCancel(job.id));
    this.node = el("li", { class: "job", "data-id": job.id }, el("span", { class: "job-kind" }, job.kind), this.state, this.cancel, this.bar, this.text);
  }

  draw(job) {
    const share = job.total > 0 ? job.done / job.total : null;
    setData(this.node, "state", job.state);
    setText(this.state, job.state === "running" && share !== null ? `${Math.floor(share * 100)}%` : job.state);
    this.cancel.hidden = ENDED.has(job.state);
    this.bar.hidden = job.state !== "running";
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    setText(this.text, this.#words(job));
    setAttr(this.node, "title", `${job.id}\n${job.message ?? ""}`);
  }

  #words(job) {
    if (job.state === "running" && job.total > 0) {
      const left = job.eta ? `, ${age((job.eta - Date.now()) / 1000)} left` : "";
      return `${job.done.toLocaleString("en-US")} of ${job.total.toLocaleString("en-US")} ${job.unit}${left}`;
    }
    if (job.state === "succeeded" && job.ended && job.started) return `in ${age((job.ended - job.started) / 1000)}, ${age((Date.now() - job.ended) / 1000)} ago`;
    return job.message || "";
  }
}

export class WorkPanel {
  #nodes;
  #jobs = new Map();
  #rows = new Map();
  #alerts = new Map();
  #ask;

  /** nodes: {report, make, jobs, jobsEmpty, schedule, leader, alerts, note}. */
  constructor(nodes) {
    this.#nodes = nodes;
    this.#ask = throttled("jobs", 150, () => this.#drawJobs());
    nodes.make.addEventListener("click", () => this.#make());
    this.#poll();
  }

  take(messages) {
    for (const message of messages) {
      if (message.T === "job") this.#put(message);
      else if (message.T === "alert") this.#alert(message);
    }
  }

  #put(job) {
    const known = this.#jobs.get(job.id);
    if (known && known.t > job.t) return;
    this.#jobs.set(job.id, { ...known, ...job });
    if (this.#jobs.size > JOBS_KEPT) this.#jobs.delete(this.#jobs.keys().next().value);
    if (job.kind === "report.daily" && job.state === "succeeded" && !job.hist) this.#askReport();
    this.#ask();
  }

  #alert(alert) {
    if (alert.resolved) this.#alerts.delete(alert.key);
    else this.#alerts.set(alert.key, alert);
    const open = [...this.#alerts.values()].sort((a, b) => b.t - a.t);
    this.#nodes.alerts.replaceChildren(...open.slice(0, 3).map((each) => el("li", { "data-severity": each.severity, title: each.detail }, each.title)));
  }

  /** What runs first, then what waits, then what has ended, newest first. */
  #drawJobs() {
    const rank = (job) => (job.state === "running" ? 0 : ENDED.has(job.state) ? 2 : 1);
    const shown = [...this.#jobs.values()].sort((a, b) => rank(a) - rank(b) || b.t - a.t).slice(0, JOBS_SHOWN);
    const rows = new Map(shown.map((job) => [job.id, this.#rows.get(job.id) ?? new JobRow(job, (id) => this.#cancel(id))]));
    for (const job of shown) rows.get(job.id).draw(job);
    const nodes = [...rows.values()].map((row) => row.node);
    if (nodes.some((node, i) => this.#nodes.jobs.children[i] !== node) || nodes.length !== this.#nodes.jobs.children.length) this.#nodes.jobs.replaceChildren(...nodes);
    this.#rows = rows;
    this.#nodes.jobsEmpty.hidden = shown.length > 0;
  }

  async #make() {
    await this.#tell(async () => {
      this.#nodes.make.disabled = true;
      await post("/v1/reports/daily", {});
      this.#say("The report is being made.");
    });
    this.#nodes.make.disabled = false;
  }

  #cancel(id) {
    return this.#tell(() => post(`/v1/operations/${encodeURIComponent(id)}:cancel`, {}));
  }

  async #tell(work) {
    try {
      await work();
    } catch (error) {
      this.#say(error.message);
    }
  }

  #say(text) {
    setText(this.#nodes.note, text);
  }

  async #poll() {
    if (!document.hidden) await Promise.all([this.#askReport(), this.#askJobs(), this.#askSchedule()]);
    setTimeout(() => this.#poll(), EVERY_MS);
  }

  async #askReport() {
    await this.#tell(async () => this.#showReport((await getJson("/v1/reports?page_size=1")).reports?.[0]));
  }

  #showReport(report) {
    if (!report) {
      setText(this.#nodes.report, "No report yet.");
      return;
    }
    if (this.#nodes.report.dataset.id === report.id) return;
    this.#nodes.report.dataset.id = report.id;
    const file = (name, text, about) => el("a", { href: `/v1/reports/${report.id}/files/${name}`, target: "_blank", rel: "noopener", title: about }, text);
    const has = (name) => (report.files ?? []).some((each) => each.name === name);
    const symbols = `${field(report, "symbols_arrived")} of ${field(report, "symbols_expected")} symbols, ${report.signals} signals`;
    this.#nodes.report.replaceChildren(
      has("report.html") ? file("report.html", `Daily report ${report.date}`, "Opens in a new tab") : `Daily report ${report.date}`,
      el("span", { class: "report-about" }, symbols), has("report.pdf") ? file("report.pdf", "PDF", "For paper, A4") : null, has("report.json") ? file("report.json", "JSON", "For programs") : null,
    );
  }

  async #askJobs() {
    await this.#tell(async () => {
      for (const job of ((await getJson(`/v1/jobs?page_size=${JOBS_SHOWN * 2}`)).jobs ?? []).map(toJob)) if (!this.#jobs.has(job.id)) this.#put({ ...job, hist: true });
      this.#ask();
    });
  }

  async #askSchedule() {
    await this.#tell(async () => {
      const found = await getJson("/v1/schedules");
      this.#nodes.schedule.replaceChildren(...(found.schedules ?? []).map((each) => this.#plan(each)));
      setText(this.#nodes.leader, found.leader ? "" : "no scheduler is active");
    });
  }

  #plan(schedule) {
    const next = Date.parse(field(schedule, "next_run_at"));
    const last = (field(schedule, "last_runs") ?? [])[0];
    const state = last ? short(last.state, "RUN_STATE_") : "never";
    const at = last ? Date.parse(field(last, "planned_at")) : NaN;
    return el(
      "li", { class: "plan", "data-state": state, title: `${schedule.when} (${field(schedule, "time_zone")})\n${schedule.description}${last?.detail ? `\n${last.detail}` : ""}` },
      el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "plan-name" }, schedule.name),
      el("span", { class: "plan-next num" }, Number.isFinite(next) ? `in ${age((next - Date.now()) / 1000)}` : "–"),
      el("span", { class: "plan-last" }, last ? `${state} ${shortDay(at)} ${clock(at).slice(0, 5)}` : "not run yet"),
    );
  }
}

// Work that is not live: today's report, jobs with their progress, the schedule.

import { el, setAttr, setData, setText } from "./dom.js";
import { age, moment, shortMoment } from "./format.js";
import { throttled } from "./frame.js";
import { field, getJson } from "./system.js";

const EVERY_MS = 5_000;
const ACTIVE_SHOWN = 6;
const ENDED_SHOWN = 4;
const ENDED_SHOWN_LEAST = 2;
const JOBS_ASKED = 30;
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

const ago = (ms) => `${age((Date.now() - ms) / 1000)} ago`;
const many = (count, word) => `${Number(count ?? 0).toLocaleString("en-US")} ${word}${Number(count) === 1 ? "" : "s"}`;

class JobRow {
  constructor(job, onCancel) {
    this.state = el("span", { class: "job-state num" });
    this.text = el("span", { class: "job-text" });
    this.bar = el("progress", { max: "1", "aria-label": `Progress of ${job.kind}` });
    this.cancel = el("button", { type: "button", class: "job-cancel", title: "Cancel this job", "aria-label": `Cancel ${job.kind} ${job.id}` }, "×");
    this.cancel.addEventListener("click", () => onCancel(job.id));
    this.node = el("li", { class: "job", "data-id": job.id }, el("span", { class: "job-kind" }, job.kind), this.state, this.cancel, this.bar, this.text);
  }

  draw(job) {
    const share = job.total > 0 ? job.done / job.total : null;
    setData(this.node, "state", job.state);
    setText(this.state, this.#state(job, share));
    this.cancel.hidden = ENDED.has(job.state);
    this.bar.hidden = job.state !== "running";
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    setText(this.text, this.#words(job));
    const took = job.ended && job.started ? `took ${((job.ended - job.started) / 1000).toFixed(1)} s\n` : "";
    setAttr(this.node, "title", `${job.kind} ${job.id}\n${took}${job.message ?? ""}`);
  }

  #state(job, share) {
    // All of it is done only when the job says that it has ended.
    if (job.state === "running" && share !== null) return `${Math.min(99, Math.floor(share * 100))}%`;
    return ENDED.has(job.state) && job.ended ? `${job.state} ${ago(job.ended)}` : job.state;
  }

  #words(job) {
    if (job.state === "succeeded" || job.message === job.state) return "";
    if (job.state !== "running" || !(job.total > 0)) return job.message || "";
    const seconds = (job.eta - Date.now()) / 1000;
    const left = seconds >= 1 ? `, ${age(seconds)} left` : "";
    // Done counts parts of a whole one, too.
    return `${Math.floor(job.done).toLocaleString("en-US")} of ${job.total.toLocaleString("en-US")} ${job.unit}${left}`;
  }
}

export class WorkPanel {
  #nodes;
  #jobs = new Map();
  #rows = new Map();
  #alerts = new Map();
  #ask;
  #asked = "";

  /** nodes: {report, make, jobs, jobsEmpty, schedule, leader, alerts, note, trouble, announce}. */
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
    if (job.kind === "report.daily" && job.state === "succeeded" && !job.hist) this.#polling(() => this.#askReport());
    if (job.id === this.#asked && ENDED.has(job.state)) this.#tellEnd(job);
    this.#ask();
  }

  #alert(alert) {
    if (alert.resolved) this.#alerts.delete(alert.key);
    else this.#alerts.set(alert.key, alert);
    const open = [...this.#alerts.values()].sort((a, b) => b.t - a.t);
    this.#nodes.alerts.replaceChildren(...open.slice(0, 3).map((each) => el("li", { "data-severity": each.severity, title: each.detail }, each.title)));
  }

  #tellEnd(job) {
    this.#asked = "";
    if (job.state === "succeeded") setText(this.#nodes.announce, "The report is ready.");
    else this.#say(`The report was not made: ${job.message || job.state}`);
  }

  /** What runs first, then what waits, then what has ended, newest first; of those that went well, the newest of each kind. */
  #drawJobs() {
    const rank = (job) => (job.state === "running" ? 0 : ENDED.has(job.state) ? 2 : 1);
    const sorted = [...this.#jobs.values()].sort((a, b) => rank(a) - rank(b) || b.t - a.t);
    const well = new Map(sorted.filter((job) => job.state === "succeeded").reverse().map((job) => [job.kind, job.id]));
    const active = sorted.filter((job) => !ENDED.has(job.state)).slice(0, ACTIVE_SHOWN);
    const ended = sorted.filter((job) => ENDED.has(job.state) && (job.state !== "succeeded" || well.get(job.kind) === job.id));
    const shown = [...active, ...ended.slice(0, Math.max(ENDED_SHOWN_LEAST, ENDED_SHOWN - active.length))];
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
      const operation = await post("/v1/reports/daily", {});
      this.#asked = operation.name.replace("operations/", "");
      this.#say("");
      setText(this.#nodes.announce, "The report is being made.");
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

  /** What cannot be asked now is said until it can. */
  async #polling(...works) {
    const ends = await Promise.allSettled(works.map((work) => work()));
    setText(this.#nodes.trouble, ends.find((end) => end.status === "rejected")?.reason.message ?? "");
  }

  #say(text) {
    setText(this.#nodes.note, text);
  }

  async #poll() {
    if (!document.hidden) await this.#polling(() => this.#askReport(), () => this.#askJobs(), () => this.#askSchedule());
    setTimeout(() => this.#poll(), EVERY_MS);
  }

  async #askReport() {
    this.#showReport((await getJson("/v1/reports?page_size=1")).reports?.[0]);
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
    const symbols = `${field(report, "symbols_arrived") ?? 0} of ${many(field(report, "symbols_expected"), "symbol")}, ${many(report.signals, "signal")}`;
    this.#nodes.report.replaceChildren(
      has("report.html") ? file("report.html", `Daily report ${report.date}`, "Opens in a new tab") : `Daily report ${report.date}`,
      el("span", { class: "report-about" }, symbols), has("report.pdf") ? file("report.pdf", "PDF", "For paper, A4") : null, has("report.json") ? file("report.json", "JSON", "For programs") : null,
    );
  }

  async #askJobs() {
    for (const job of ((await getJson(`/v1/jobs?page_size=${JOBS_ASKED}`)).jobs ?? []).map(toJob)) this.#put({ ...job, hist: true });
    this.#ask();
  }

  async #askSchedule() {
    const found = await getJson("/v1/schedules");
    const next = (each) => Date.parse(field(each, "next_run_at")) || Infinity;
    const soonest = (found.schedules ?? []).sort((a, b) => next(a) - next(b) || (a.name < b.name ? -1 : 1));
    this.#nodes.schedule.replaceChildren(...soonest.map((each) => this.#plan(each)));
    setText(this.#nodes.leader, found.leader ? "" : "No scheduler is active: nothing is started by the clock.");
  }

  #plan(schedule) {
    const next = Date.parse(field(schedule, "next_run_at"));
    const last = (field(schedule, "last_runs") ?? [])[0];
    const state = last ? short(last.state, "RUN_STATE_") : "never";
    const at = last ? Date.parse(field(last, "planned_at")) : NaN;
    const lastWords = last ? `Last run, ${moment(at)}: ${state}${last.detail ? `: ${last.detail}` : ""}` : "Not run yet";
    const nextWords = Number.isFinite(next) ? `Next run: ${moment(next)}` : "No next run";
    const about = `${schedule.when} (${field(schedule, "time_zone")})\n${schedule.description}\n${lastWords}\n${nextWords}`;
    return el(
      "li", { class: "plan", "data-schedule": schedule.name, "data-state": state, title: about },
      el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "plan-name" }, schedule.name),
      el("span", { class: "plan-last num", "aria-label": lastWords }, last ? shortMoment(at) : "–"),
      el("span", { class: "plan-next num", "aria-label": nextWords }, Number.isFinite(next) ? age((next - Date.now()) / 1000) : "–"),
    );
  }
}

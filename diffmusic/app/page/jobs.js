// The list of jobs: how far each is, what came of it, and what can be done with it.

import { post, remove } from "./server.js";
import { lasting } from "./units.js";

const STATES = { waiting: "waits", running: "", done: "done", failed: "failed", cancelled: "cancelled" };

export class Jobs {
  constructor(list, { compare, refresh, say }) {
    Object.assign(this, { list, compare, refresh, say, rows: new Map() });
  }

  show(jobs, recordings) {
    const there = new Set(jobs.map(job => job.key));
    for (const [key, row] of this.rows) if (!there.has(key)) { row.remove(); this.rows.delete(key); }
    for (const job of jobs) {
      let row = this.rows.get(job.key);
      const look = JSON.stringify([job.state, job.results, job.notes, job.error]);
      if (!row) {
        row = document.createElement("li");
        row.dataset.job = job.key;
        this.rows.set(job.key, row);
        this.list.prepend(row);
      }
      if (row.look !== look) {
        row.look = look;
        row.dataset.state = job.state;
        row.replaceChildren(...this.parts(job, recordings));
      }
      const bar = row.querySelector("progress");
      if (bar) {
        bar.value = job.progress || 0;
        const left = job.left ? `, ${lasting(job.left)} left` : "";
        row.querySelector(".time").textContent = job.progress ? `${Math.round(100 * job.progress)} %${left}` : `begins, ${lasting(job.seconds)}`;
      }
    }
  }

  parts(job, recordings) {
    const make = (tag, set, ...children) => {
      const made = Object.assign(document.createElement(tag), set);
      made.append(...children);
      return made;
    };
    const act = async call => {
      try { await call(); } catch (error) { this.say(error.message, true); }
      await this.refresh();
    };
    const button = (text, call) => make("button", { type: "button", textContent: text, onclick: () => act(call) });
    const state = make("span", { className: job.state === "done" ? "time done" : "time faint", textContent: STATES[job.state] });
    if (job.state === "done") state.textContent = `done in ${lasting(job.seconds)}`;
    const parts = [make("div", { className: "top" }, make("b", { textContent: job.title, title: job.line }), state)];
    if (job.state === "running") {
      const bar = make("progress", { max: 1, value: 0 });
      bar.setAttribute("aria-label", `Progress of ${job.title}`);
      parts.push(bar);
    }
    if (job.error) parts.push(make("div", { className: "bad", textContent: job.error }));
    const row = make("div", { className: "row" });
    const results = job.results.map(key => recordings.find(each => each.key === key)).filter(Boolean);
    results.forEach((result, number) => {
      const name = results.length > 1 ? ` ${number + 1}` : "";
      row.append(button(`Compare${name}`, () => this.compare(result.key)));
      row.append(make("a", { href: `files/${result.key}/audio`, download: result.name, textContent: `Download${name}`, className: "button" }));
    });
    if (job.state === "done") row.append(make("a", { href: `jobs/${job.key}/record`, download: "", textContent: "Record", className: "button" }));
    row.append(button("Copy command", () => copy(job.line, this.say)));
    if (job.state === "running" || job.state === "waiting") row.append(button("Cancel", () => post(`jobs/${job.key}/cancel`)));
    else row.append(button("Remove", () => remove(`jobs/${job.key}`)));
    parts.push(row);
    parts.push(...job.notes.map(note => make("div", { className: "note", textContent: note })));
    return parts;
  }
}

/** Put text on the clipboard; where the browser refuses, it is selected to be copied by hand. */
export async function copy(text, say) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("The command is on the clipboard.");
}

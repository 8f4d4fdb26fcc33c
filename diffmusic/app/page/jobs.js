// The list of jobs: how far each is, what came of it, and what can be done with it.

import { bytes, post, remove } from "./server.js";
import { clock, lasting } from "./units.js";

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
      this.soFar(row, job);
      const bar = row.querySelector("progress");
      if (bar) {
        bar.value = job.progress || 0;
        const left = job.left ? `, ${lasting(job.left)} left` : "";
        row.querySelector(".time").textContent = job.progress ? `${Math.round(100 * job.progress)} %${left}` : `begins, ${lasting(job.seconds)}`;
      }
    }
  }

  /** The clean estimate so far of the window that is being solved. */
  soFar(row, job) {
    const figure = row.querySelector(".estimate");
    const { start, stop, step, steps } = job.preview;
    if (!figure || !steps) return;
    const text = `so far, ${clock(start, 1)} to ${clock(stop, 1)}, step ${step} of ${steps}`;
    if (figure.text === text) return;
    figure.text = text;
    figure.hidden = false;
    figure.querySelector("figcaption").textContent = text;
    Object.assign(figure.querySelector("img"), { src: `jobs/${job.key}/estimate.png?${start}-${step}`, alt: `Spectrogram of the estimate ${text}` });
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
      parts.push(bar, make("figure", { className: "estimate", hidden: true }, make("img", {}), make("figcaption", {}),
        button("Hear it", () => hear(`jobs/${job.key}/estimate`))));
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
    if (job.spread.seconds) parts.push(spread(job.spread));
    parts.push(...job.notes.map(note => make("div", { className: "note", textContent: note })));
    return parts;
  }
}

/** How far the versions of a result differ: time to the right, octave bands upwards. */
function spread(told) {
  const figure = document.createElement("figure");
  const canvas = Object.assign(document.createElement("canvas"), { width: told.seconds.length, height: told.spread_db[0].length });
  const context = canvas.getContext("2d");
  const most = Math.max(1, ...told.spread_db.flat());
  told.spread_db.forEach((bands, x) => bands.forEach((value, k) => {
    context.fillStyle = `hsl(${40 - 40 * value / most} 90% ${12 + 68 * value / most}%)`;
    context.fillRect(x, bands.length - 1 - k, 1, 1);
  }));
  const top = told.edges_hz.at(-1) / 1000;
  const text = `The versions differ by ${told.overall_db.toFixed(1)} dB, by ${most.toFixed(1)} dB at most; ${told.seconds[0][0].toFixed(2)} to ${told.seconds.at(-1)[1].toFixed(2)} s, 0 to ${top.toFixed(1)} kHz. The first lies in the middle.`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Spread of the versions. ${text}`);
  figure.className = "spread";
  figure.append(canvas, Object.assign(document.createElement("figcaption"), { textContent: text }));
  return figure;
}

let context = null;
/** Play a short file at once. */
async function hear(path) {
  context ||= new AudioContext();
  const { response } = await bytes(path);
  const source = context.createBufferSource();
  source.buffer = await context.decodeAudioData(await response.arrayBuffer());
  source.connect(context.destination);
  source.start();
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

// The page as a whole: which recording is seen, what is heard, and what is done with it.

import { Form } from "./form.js";
import { Jobs, copy } from "./jobs.js";
import { Marks } from "./marks.js";
import { Player } from "./player.js";
import { get, post, remove, upload } from "./server.js";
import { Tiles, drawWaveform } from "./tiles.js";
import { clock, lasting } from "./units.js";
import { Lane, View } from "./view.js";

const $ = selector => document.querySelector(selector);
const view = new View();
const player = new Player();
const marks = new Marks($("#marks"));
const form = new Form($("#form"), $("#fields"));
const tiles = new Tiles(() => redraw());
const state = {
  recordings: [], jobs: [], before: null, after: null, suggestions: [], marks, player,
  tool: () => $("[name=tool]:checked").value,
  top: () => (state.before.done >= 1 ? state.before.top : 200),
};
const lanes = { before: new Lane($("#before canvas"), view, tiles, state), after: new Lane($("#after canvas"), view, tiles, state) };
const jobs = new Jobs($("#jobs"), { compare, refresh, say });

function say(text, bad = false) {
  $("#status").textContent = text;
  $("#status").classList.toggle("bad", bad);
}

// Seeing

let due = false;
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const lane of Object.values(lanes)) lane.draw();
    drawMap();
    $("#clock").textContent = clock(player.now());
    if (player.playing) {
      if (player.now() > view.end && player.now() < view.duration) view.set(player.now(), view.perPixel);
      redraw();
    }
  });
}

function drawMap() {
  const canvas = $("#map");
  if (!state.before || !canvas.clientWidth) return;
  const dpr = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * dpr;
  canvas.height = canvas.clientHeight * dpr;
  const context = canvas.getContext("2d");
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  context.scale(dpr, dpr);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  context.fillStyle = colour("wave-ground");
  context.fillRect(0, 0, width, height);
  const whole = { start: 0, perPixel: view.duration / width };
  drawWaveform(context, tiles, state.before, whole, { x: 0, y: 2, width, height: height - 4 }, colour("wave"), dpr);
  context.globalAlpha = 0.7;
  for (const mark of marks.list) {
    context.fillStyle = colour("mark");
    context.fillRect(mark.start / whole.perPixel, 0, Math.max(2, (mark.end - mark.start) / whole.perPixel), height);
  }
  context.globalAlpha = 0.55;
  context.fillStyle = colour("ground");
  const [left, right] = [view.start / whole.perPixel, view.end / whole.perPixel];
  context.fillRect(0, 0, left, height);
  context.fillRect(right, 0, width - right, height);
  context.globalAlpha = 1;
  context.fillStyle = colour("cursor");
  context.fillRect(player.now() / whole.perPixel, 0, 1, height);
  canvas.setAttribute("aria-valuemax", String(Math.round(view.duration)));
  canvas.setAttribute("aria-valuenow", String(Math.round(view.start)));
  canvas.setAttribute("aria-valuetext", `${clock(view.start, 1)} to ${clock(view.end, 1)}`);
}

function describe(recording) {
  const channels = { 1: "mono", 2: "stereo" }[recording.channels] || `${recording.channels} channels`;
  const loudness = recording.loudness === null ? "" : ` · ${recording.loudness.toFixed(1)} LUFS`;
  const read = recording.done < 1 ? ` · reading, ${Math.floor(100 * recording.done)} %` : loudness;
  const kind = recording.kind ? `${recording.kind} · ` : "";
  return `${kind}${recording.rate / 1000} kHz · ${channels} · ${clock(recording.samples / recording.rate)}${read}`;
}

// Choosing what is seen and heard

function open(recording) {
  const other = state.before?.key !== recording.key;
  state.before = recording;
  sessionStorage.setItem("recording", recording.key);
  for (const part of ["#stage", "#panel"]) $(part).hidden = false;
  $("#empty").hidden = true;
  if (other) {
    state.suggestions = [];
    $("#found").replaceChildren();
    Object.assign(view, { duration: recording.samples / recording.rate, rate: recording.rate });
    player.position = 0;
    marks.load(recording, mark => player.play(Math.max(0, mark.start - 1.5), Math.min(view.duration, mark.end + 1.5)));
    compare(state.jobs.filter(job => job.file === recording.key && job.results.length).at(-1)?.results[0] || null);
    view.fit();
  }
  label();
}

function compare(key) {
  const after = state.recordings.find(each => each.key === key) || null;
  if (after && after.of !== state.before.key) open(state.recordings.find(each => each.key === after.of));
  state.after = after;
  $("#after").hidden = !after;
  const versions = [{ name: "before", recording: state.before }];
  if (after) {
    versions.push({ name: "after", recording: after });
    const same = after.rate === state.before.rate && after.channels === state.before.channels;
    if (same) versions.push({ name: "difference", recording: { ...after, key: `d-${after.key}-${state.before.key}` } });
  }
  state.versions = versions;
  player.load(versions.map(({ recording }) => ({ recording, gain: 1 })), view.duration);
  const fieldset = $("#versions");
  fieldset.replaceChildren(fieldset.querySelector("legend"), ...versions.map(({ name, recording }) => {
    const made = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "version", value: name });
    input.addEventListener("change", () => hear(name));
    made.append(input, Object.assign(document.createElement("span"), { textContent: name }));
    made.dataset.key = recording.key;
    return made;
  }));
  hear(after ? "after" : "before");
}

function hear(name) {
  const version = state.versions.find(each => each.name === name);
  if (!version) return;
  $(`[name=version][value=${name}]`).checked = true;
  player.hear(version.recording.key);
  lanes.before.recording = state.before;
  lanes.after.recording = name === "difference" ? version.recording : state.after;
  label();
  redraw();
}

/** Names, numbers and gains, from what the server knows by now. */
function label() {
  const { before, after } = state;
  if (!before) return;
  const known = recording => state.recordings.find(each => each.key === recording.key) || recording;
  const parts = (selector, title, recording) => {
    $(`${selector} .label b`).textContent = title;
    $(`${selector} .label span`).textContent = describe(known(recording));
    $(`${selector} canvas`).setAttribute("aria-label", `Waveform and spectrogram of ${recording.name}, ${title}`);
  };
  parts("#before", after ? `before · ${before.name}` : before.name, before);
  if (after) {
    const difference = lanes.after.recording?.key.startsWith("d-");
    parts("#after", difference ? "difference" : `after · ${after.name}`, lanes.after.recording || after);
    const match = $("#level input").checked && before.loudness !== null && known(after).loudness !== null;
    player.setGain(after.key, match ? 10 ** ((before.loudness - known(after).loudness) / 20) : 1);
  }
  $("#level").hidden = !after;
  $("#length").textContent = `/ ${clock(before.samples / before.rate, 0)}`;
}

function showTabs() {
  const files = state.recordings.filter(each => !each.of);
  $("#tabs").replaceChildren(...files.map(recording => {
    const tab = document.createElement("span");
    tab.className = recording.key === state.before?.key ? "here" : "";
    const name = Object.assign(document.createElement("button"), { type: "button", textContent: recording.name });
    name.setAttribute("role", "tab");
    name.setAttribute("aria-selected", String(recording.key === state.before?.key));
    name.addEventListener("click", () => { open(recording); showTabs(); });
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "✕" });
    close.setAttribute("aria-label", `Close ${recording.name}`);
    close.addEventListener("click", async () => { await remove(`files/${recording.key}`); await refresh(); });
    tab.append(name, close);
    return tab;
  }));
}

// The server

let timer = 0;
async function refresh() {
  clearTimeout(timer);
  let pause = 3000;
  try {
    const told = await get("state");
    const finished = told.jobs.filter(job => job.state === "done" && state.jobs.some(old => old.key === job.key && old.state !== "done"));
    Object.assign(state, { recordings: told.recordings, jobs: told.jobs });
    jobs.show(told.jobs, told.recordings);
    form.offer(told.jobs.filter(job => job.directions.components && job.file === state.before?.key).map(job => ({ key: job.key, ...job.directions })));
    if (state.before) {
      const now = told.recordings.find(each => each.key === state.before.key);
      if (now) { state.before = lanes.before.recording = now; label(); redraw(); }
      else { state.before = null; player.load([], 0); for (const part of ["#stage", "#panel"]) $(part).hidden = true; $("#empty").hidden = false; }
    }
    if (!state.before) {
      const files = told.recordings.filter(each => !each.of);
      const kept = files.find(each => each.key === sessionStorage.getItem("recording"));
      if (files.length) open(kept || files.at(-1));
    }
    for (const job of finished) {
      say(`${job.title}: done in ${lasting(job.seconds)}.`);
      if (job.file === state.before?.key && job.results.length) compare(job.results[0]);
    }
    if (state.after && !told.recordings.some(each => each.key === state.after.key)) compare(null);
    showTabs();
    if (told.jobs.some(job => job.state === "running" || job.state === "waiting")) pause = 400;
    if (told.recordings.some(each => each.done < 1 && !each.error)) pause = 400;
  } catch (error) {
    say(`The server does not answer: ${error.message}`, true);
  }
  timer = setTimeout(refresh, pause);
}

async function take(files) {
  for (const file of files) {
    try {
      const recording = await upload(file, share => say(`Opening ${file.name}, ${Math.round(100 * share)} %`));
      say("");
      state.recordings.push(recording);
      open(recording);
    } catch (error) {
      say(error.message, true);
    }
  }
  await refresh();
}

let asked = 0;
async function showLine() {
  if (!form.forms || !state.before) return;
  const mine = ++asked;
  const takes = form.takes;
  $("#no-marks").textContent = marks.list.length ? "" : takes.time ? "None yet: drag over the recording." : "This damage has no place.";
  try {
    const { line } = await post("line", form.written(state.before.key, marks.list));
    if (mine === asked) $("#line").textContent = line;
  } catch (error) {
    if (mine === asked) $("#line").textContent = error.message;
  }
}

export { $, form, lanes, marks, player, redraw, refresh, say, showLine, state, take, tiles, view, compare, hear, label, copy };

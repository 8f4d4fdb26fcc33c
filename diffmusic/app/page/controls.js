// Buttons, keys, and what is dropped onto the page.

import { $, copy, form, hear, label, lanes, marks, player, redraw, refresh, say, showLine, state, take, view } from "./app.js";
import { get, post } from "./server.js";
import { clock, lasting } from "./units.js";

function toggle() {
  if (player.playing) player.stop();
  else player.play();
}

function markHere() {
  const start = Math.min(player.now(), view.duration);
  marks.add({ start, end: Math.min(view.duration, start + Math.min(0.5, view.width * view.perPixel / 8)) });
}

// Damage that is found

async function find() {
  $("#find").disabled = true;
  say("Looking for damage…");
  try {
    const found = (await post(`detect/${state.before.key}`)).defects;
    state.suggestions = found.filter(each => each.kind !== "clipping" && each.kind !== "dull");
    $("#found").replaceChildren(...found.map(suggestion));
    say(found.length ? `${found.length} suggestion${found.length > 1 ? "s" : ""}.` : "Nothing wrong was found.");
  } catch (error) {
    say(error.message, true);
  }
  $("#find").disabled = false;
  redraw();
}

function suggestion(fault) {
  const row = document.createElement("li");
  const place = state.suggestions.includes(fault) ? ` ${clock(fault.start)}, ${((fault.end - fault.start) * 1000).toFixed(1)} ms` : "";
  const text = document.createElement("span");
  text.append(Object.assign(document.createElement("b"), { textContent: fault.kind }), place || ` ${fault.detail}`);
  text.title = `${fault.detail}, certain to ${Math.round(100 * fault.confidence)} %`;
  row.append(text);
  const button = (name, act) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    made.setAttribute("aria-label", `${name} ${fault.kind}${place}`);
    made.addEventListener("click", act);
    row.append(made);
  };
  if (place) {
    button("Show", () => view.show(fault.start, fault.end));
    button("Mark", () => {
      marks.add({ start: fault.start, end: fault.end });
      state.suggestions = state.suggestions.filter(each => each !== fault);
      row.remove();
    });
  } else if (fault.kind === "clipping" && form.forms.operators.some(each => each.name === "clipping")) {
    button("Choose", () => form.choose("clipping", { level: String(fault.value) }));
  }
  return row;
}

// What it will take

async function ask() {
  const asked = form.written(state.before.key, marks.list);
  $("#ask").disabled = true;
  $("#estimate").textContent = "counting…";
  try {
    const { windows, passes, seconds, memory_bytes: memory, download_gb: download } = await post("estimate", asked);
    const network = passes.network_forward;
    const parts = [];
    if (seconds !== null) parts.push(`about ${lasting(seconds)}, ${(memory / 1e9).toFixed(1)} GB`);
    if (download) parts.push(`${download.toFixed(1)} GB to download first`);
    if (network) parts.push(`${windows} window${windows === 1 ? "" : "s"}, ${network} passes`);
    $("#estimate").textContent = parts.join(" · ") || "no pass of a prior: seconds";
  } catch (error) {
    $("#estimate").textContent = error.message;
  }
  $("#ask").disabled = false;
}

// Buttons

$("#ask").addEventListener("click", ask);
$("#play").addEventListener("click", toggle);
$("#in").addEventListener("click", () => view.zoom(1 / 1.6));
$("#out").addEventListener("click", () => view.zoom(1.6));
$("#fit").addEventListener("click", () => view.fit());
$("#add").addEventListener("click", markHere);
$("#find").addEventListener("click", find);
$("#copy").addEventListener("click", () => copy($("#line").textContent, say));
$("#level input").addEventListener("change", label);
for (const input of [$("#file"), $("#file2")]) input.addEventListener("change", () => { take([...input.files]); input.value = ""; });
$("#form").addEventListener("submit", async event => {
  event.preventDefault();
  try {
    await post("jobs", form.written(state.before.key, marks.list));
    say("");
  } catch (error) {
    say(error.message, true);
  }
  await refresh();
});

const themes = matchMedia("(prefers-color-scheme: dark)");
function theme() {
  document.documentElement.dataset.theme = localStorage.getItem("theme") || (themes.matches ? "dark" : "light");
  redraw();
}
themes.addEventListener("change", theme);
$("#theme").addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  theme();
});

// Keys

const VERSIONS = { 1: "before", 2: "after", 3: "difference" };
document.addEventListener("keydown", event => {
  const typing = event.target.closest("input[type=text], textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !state.before) return;
  const pressing = event.target.closest("button, a, summary, input");
  const keys = {
    " ": () => !pressing && toggle(),
    m: markHere, M: markHere,
    "+": () => view.zoom(1 / 1.6), "=": () => view.zoom(1 / 1.6), "-": () => view.zoom(1.6),
    ArrowLeft: () => !pressing && view.scroll(-0.15), ArrowRight: () => !pressing && view.scroll(0.15),
    Home: () => { view.set(0, view.perPixel); player.seek(0); },
    End: () => view.set(view.duration, view.perPixel),
    Delete: () => marks.chosen && marks.remove(marks.chosen),
  };
  const act = keys[event.key] || (VERSIONS[event.key] && (() => hear(VERSIONS[event.key])));
  if (act && act() !== false) event.preventDefault();
});

// The strip that shows all of it

function jump(event) {
  const time = event.offsetX / $("#map").clientWidth * view.duration;
  view.set(time - view.width * view.perPixel / 2, view.perPixel);
}
$("#map").addEventListener("pointerdown", event => {
  $("#map").setPointerCapture(event.pointerId);
  $("#map").addEventListener("pointermove", jump);
  jump(event);
});
$("#map").addEventListener("pointerup", () => $("#map").removeEventListener("pointermove", jump));

// Files that are dropped

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") take([...event.dataTransfer.files]);
  });
}

// What follows from what

view.addEventListener("change", redraw);
marks.addEventListener("change", () => { redraw(); showLine(); });
marks.addEventListener("look", redraw);
form.addEventListener("change", () => { $("#estimate").textContent = ""; showLine(); });
player.addEventListener("change", () => {
  $("#play").textContent = player.playing ? "❚❚" : "▶";
  $("#play").setAttribute("aria-label", player.playing ? "Pause (space)" : "Play (space)");
  redraw();
});
player.addEventListener("failed", event => say(event.detail, true));
for (const lane of Object.values(lanes)) {
  lane.addEventListener("redraw", redraw);
  lane.addEventListener("resized", () => {
    view.width = lane.wave.width;
    view.set(view.start, view.perPixel);
  });
}

theme();
refresh();
get("forms").then(forms => { form.use(forms); showLine(); }).catch(error => say(error.message, true));

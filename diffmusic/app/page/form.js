// The form: what happened, made from the parameters of the operators, and how to restore.

import { written } from "./marks.js";

const TIME = "START:END";
const RECTANGLE = "START:END@LOW:HIGH";
const isMark = parameter => parameter.repeatable && (parameter.kind === TIME || parameter.kind === RECTANGLE);
const words = name => name.replaceAll("_", " ");

export class Form extends EventTarget {
  constructor(form, fields) {
    super();
    Object.assign(this, { form, fields, forms: null });
    this.values = JSON.parse(sessionStorage.getItem("form") || "{}");
    for (const input of form.querySelectorAll("[name=task]")) {
      input.checked = input.value === (this.values.task || "solve");
      input.addEventListener("change", () => { this.values.task = input.value; this.build(); });
    }
  }

  get task() { return this.values.task || "solve"; }
  get operator() { return this.forms.operators.find(each => each.name === this.values.operator) || this.forms.operators[0]; }
  get solver() { return this.forms.solvers.find(each => each.name === this.values[`${this.task}.solver`]); }
  /** Whether marks of time, and rectangles, have a meaning for what is chosen. */
  get takes() {
    if (this.task !== "solve") return { time: "segment", rectangle: null };
    const named = kind => this.operator.parameters.find(each => isMark(each) && each.kind === kind)?.name ?? null;
    return { time: named(TIME), rectangle: named(RECTANGLE) };
  }

  use(forms) {
    this.forms = forms;
    if (!forms.operators.some(each => each.name === this.values.operator)) {
      this.values.operator = forms.operators.some(each => each.name === "inpainting") ? "inpainting" : forms.operators[0]?.name;
    }
    this.build();
  }

  /** Choose an operator and some of its parameters, as a suggestion does. */
  choose(operator, values = {}) {
    Object.assign(this.values, { task: "solve", operator });
    this.form.querySelector("[name=task][value=solve]").checked = true;
    for (const [name, value] of Object.entries(values)) this.values[`solve.${operator}.${name}`] = value;
    this.build();
  }

  build() {
    if (!this.forms) return;
    const [parts, title, start] = {
      solve: () => [this.solveFields(), "What happened", "Restore"],
      edit: () => [this.editFields(), "What it is to become", "Edit"],
      explore: () => [this.exploreFields(), "Where it could lead", "Find directions"],
    }[this.task]();
    this.fields.replaceChildren(...parts);
    document.querySelector("#choice-title").textContent = title;
    document.querySelector("#start").textContent = start;
    document.querySelector("#start").disabled = false;
    this.changed();
  }

  changed() {
    sessionStorage.setItem("form", JSON.stringify(this.values));
    this.dispatchEvent(new Event("change"));
  }

  solveFields() {
    const { operators, owners, defaults } = this.forms;
    const choices = operators.map(each => {
      const owner = owners.operator[each.name];
      return { value: each.name, text: owner === "diffmusic" ? each.name : `${each.name} (${owner})`, disabled: !!each.error };
    });
    const operator = this.operator;
    const own = this.own(operator);
    const marked = this.takes.time || this.takes.rectangle;
    const method = this.solver || this.forms.solvers.find(each => each.name === operator.solver);
    const classical = method?.role === "classical";
    const parts = [
      this.select("operator", "damage", choices, operator.summary, true),
      this.hint(operator.error || (marked ? "" : "It has no place: marks are not used.")),
      own.length ? this.details(`Details of ${operator.name}`, own, !marked) : null,
      ...this.thenFields(choices),
      this.solvers("prior", "classical", operator.solver),
      ...classical ? [] : this.common(defaults.solve, [["prompt", "prompt", "What the music is; for a mixture one line for each source.", true],
        ["negative_prompt", "not", "What it is not."]]),
    ];
    return parts.filter(Boolean);
  }

  own(operator) {
    return operator.parameters.filter(each => !isMark(each)).map(each => this.parameter(`solve.${operator.name}`, each));
  }

  /** Operators that happened after the first, one after the other. */
  get then() {
    const named = (this.values.then || []).map(name => this.forms.operators.find(each => each.name === name));
    return named.filter(each => each && each !== this.operator);
  }

  thenFields(choices) {
    const parts = [];
    const chain = this.then;
    [...chain, null].forEach((operator, number) => {
      const free = choices.filter(each => each.value !== this.operator.name && (each.value === operator?.name || !chain.some(other => other.name === each.value)));
      if (!operator && !free.some(each => !each.disabled)) return;
      const control = Object.assign(document.createElement("select"), { name: `then.${number}` });
      control.append(...[{ value: "", text: operator ? "nothing more" : "nothing" }, ...free].map(each => Object.assign(document.createElement("option"), { value: each.value, textContent: each.text, disabled: !!each.disabled })));
      control.value = operator?.name ?? "";
      control.addEventListener("change", () => {
        const names = chain.map(each => each.name);
        names.splice(number, 1, ...control.value ? [control.value] : []);
        this.values.then = names;
        this.build();
      });
      parts.push(this.field("and then", control, operator?.summary || (number ? "" : "What happened to it after that, where something did.")));
      const own = operator ? this.own(operator) : [];
      if (own.length) parts.push(this.details(`Details of ${operator.name}`, own, true));
    });
    return parts;
  }

  /** The directions that were found of the recording; the server's jobs tell. */
  offer(directions) {
    if (JSON.stringify(directions) === JSON.stringify(this.directions)) return;
    this.directions = directions;
    if (this.task === "edit") this.build();
  }

  get followed() { return this.directions?.find(each => each.key === this.values["edit.directions"]); }

  /** A slider for each direction, in standard deviations. */
  sliders() {
    return Array.from({ length: this.followed.components }, (_, number) => {
      const key = `edit.weight.${number}`;
      const control = Object.assign(document.createElement("input"), { type: "range", name: key, min: -4, max: 4, step: 0.25, value: this.values[key] ?? 0 });
      const shown = Object.assign(document.createElement("output"), { textContent: control.value });
      control.addEventListener("input", () => { this.values[key] = shown.textContent = control.value; this.changed(); });
      const made = this.field(`direction ${number + 1}`, control, "");
      made.append(shown);
      made.classList.add("slider");
      return made;
    });
  }

  exploreFields() {
    return [
      this.hint("Directions in which the marked stretches, or all of it, could have been otherwise. Each is rendered both ways, and has a slider under Edit."),
      this.input("explore.source", "it is", "a piano", "What the recording is, if you like."),
      this.input("explore.components", "directions", 3, "How many to find."),
      this.input("explore.strength", "strength", "", "The noise level to start from."),
      this.input("explore.steps", "steps", "", "Noise levels from the strength down."),
      this.input("explore.seed", "seed", 0, ""),
    ];
  }

  editFields() {
    const defaults = this.forms.defaults.edit;
    const found = this.directions || [];
    const ways = [{ value: "", text: "a text" }, ...found.map(each => ({ value: each.key, text: `directions of job ${each.key.slice(1)}` }))];
    const how = this.select("edit.directions", "by", ways, found.length ? "" : "Explore finds directions to follow.", true);
    if (this.followed) {
      const rest = ["samples", "steps", "seed"].map(name => this.input(`edit.${name}`, { samples: "versions" }[name] || name, defaults[name], ""));
      return [how, this.hint("They change what they were found in, whatever is marked now."), ...this.sliders(), ...rest];
    }
    return [
      how,
      this.input("edit.target", "it becomes", "a banjo", "What the marked stretches, or all of it, are to become."),
      this.input("edit.source", "it is", "a piano", "What the recording is, for a finer change."),
      this.input("edit.strength", "strength", defaults.strength, "The noise level to start from: more changes more."),
      this.solvers("editor", "editor", "ddpm-inversion"),
      ...this.common(defaults, [["negative_prompt", "not", "What it is not to become."]]),
    ].filter(Boolean);
  }

  solvers(first, second, standard) {
    const fitting = this.forms.solvers.filter(each => (each.role === first || each.role === second) && !each.error);
    const choices = [{ value: "", text: `the default, ${standard}` }, ...fitting.map(each => ({ value: each.name, text: each.name }))];
    const chosen = this.solver || this.forms.solvers.find(each => each.name === standard);
    const group = document.createElement("div");
    group.append(this.select(`${this.task}.solver`, "method", choices, chosen?.summary || "", true));
    const own = (chosen?.parameters || []).map(each => this.parameter(`set.${chosen.name}`, each));
    if (own.length) group.append(this.details(`Details of ${chosen.name}`, own, false));
    return group;
  }

  common(defaults, texts) {
    const models = this.forms.models.map(each => ({
      value: each.name === "mini" ? "" : each.name,
      text: each.here ? each.name : `${each.name}, ${each.download_gb.toFixed(1)} GB to download`,
    })).sort((a, b) => (a.value ? 1 : 0) - (b.value ? 1 : 0));
    const t = this.task;
    const more = ["guidance", "noise_std"].filter(name => name in defaults).map(name => this.input(`${t}.${name}`, words(name), defaults[name], ""));
    return [
      this.select(`${t}.model`, "prior", models, "What knows how music sounds; classical methods need none."),
      ...texts.map(([name, label, help, tall]) => this.input(`${t}.${name}`, label, "", help, tall)),
      this.input(`${t}.samples`, "versions", defaults.samples, "Different results to draw."),
      this.input(`${t}.steps`, "steps", defaults.steps, ""),
      this.input(`${t}.seed`, "seed", defaults.seed, ""),
      this.details("More", more, false),
    ];
  }

  parameter(prefix, parameter) {
    const key = `${prefix}.${parameter.name}`;
    const label = words(parameter.name);
    if (parameter.kind === "BOOL") return this.check(key, label, parameter.default, parameter.help);
    if (parameter.choices.length) {
      const choices = parameter.choices.map(each => ({ value: each === String(parameter.default) ? "" : each, text: each }));
      return this.select(key, label, choices, parameter.help);
    }
    const help = parameter.repeatable ? `${parameter.help}; several are parted by ;` : parameter.help;
    return this.input(key, label, parameter.default ?? "", help);
  }

  /** The form as the server takes it; what is left at its default is left out. */
  written(file, marks) {
    const given = (prefix, names) => Object.fromEntries(names.filter(name => (this.values[`${prefix}.${name}`] ?? "") !== "").map(name => [name, this.values[`${prefix}.${name}`]]));
    const lists = (values, parameters) => Object.fromEntries(Object.entries(values).map(([name, value]) => {
      const repeatable = parameters.find(each => each.name === name)?.repeatable;
      return [name, repeatable ? value.split(";").map(part => part.trim()) : value];
    }));
    const takes = this.takes;
    const flags = given(this.task, ["target", "source", "solver", "model", "prompt", "negative_prompt", "guidance", "noise_std", "steps", "seed", "samples", "strength"]);
    for (const name of ["prompt"]) if (flags[name]) flags[name] = flags[name].split("\n").map(each => each.trim()).filter(Boolean);
    const times = marks.filter(mark => !mark.high).map(written);
    const rectangles = marks.filter(mark => mark.high).map(written);
    const standard = this.task === "solve" ? this.operator.solver : "ddpm-inversion";
    const solver = this.solver || this.forms.solvers.find(each => each.name === standard);
    const settings = solver ? given(`set.${solver.name}`, solver.parameters.map(each => each.name)) : {};
    if (this.task === "explore") {
      const own = given("explore", ["source", "components", "strength", "steps", "seed"]);
      if (times.length) own.segment = times;
      return { task: "explore", file, flags: own };
    }
    if (this.task === "edit" && this.followed) {
      const own = given("edit", ["steps", "seed", "samples"]);
      // Directions are of the stretches and the prior that they were found with.
      if (this.followed.segments.length) own.segment = this.followed.segments;
      if (this.followed.model !== "mini") own.model = this.followed.model;
      const weights = Array.from({ length: this.followed.components }, (_, number) => this.values[`edit.weight.${number}`] ?? "0");
      return { task: "edit", file, flags: { ...own, directions: this.followed.key, amount: "1" }, settings: { weights: weights.join(",") } };
    }
    if (this.task === "edit") {
      const { solver: _, ...rest } = flags;
      if (!("target" in rest)) rest.target = "";
      if (times.length) rest.segment = times;
      return { task: "edit", file, flags: { ...rest, ...(flags.solver ? { solver: flags.solver } : {}) }, settings };
    }
    const operator = this.operator;
    const details = each => lists(given(`solve.${each.name}`, each.parameters.filter(own => !isMark(own)).map(own => own.name)), each.parameters);
    const parameters = details(operator);
    const then = this.then.map(each => ({ operator: each.name, parameters: details(each) }));
    if (takes.time && times.length) parameters[takes.time] = times;
    if (takes.rectangle && rectangles.length) parameters[takes.rectangle] = rectangles;
    return { task: "solve", file, operator: operator.name, parameters, ...then.length ? { then } : {}, flags, settings };
  }

  details(title, children, open) {
    const made = document.createElement("details");
    made.open = open;
    const summary = document.createElement("summary");
    summary.textContent = title;
    made.append(summary, ...children);
    return made;
  }

  hint(text) {
    if (!text) return null;
    return Object.assign(document.createElement("p"), { className: "hint", textContent: text });
  }

  field(label, control, help) {
    const made = document.createElement("div");
    made.className = "field";
    const id = `field-${control.name}`.replaceAll(/[^\w-]/g, "-");
    control.id = id;
    const caption = Object.assign(document.createElement("label"), { textContent: label, htmlFor: id });
    made.append(caption, control);
    if (help) {
      const small = Object.assign(document.createElement("small"), { textContent: help, id: `${id}-help` });
      control.setAttribute("aria-describedby", small.id);
      made.append(small);
    }
    return made;
  }

  input(key, label, placeholder, help, tall = false) {
    const control = document.createElement(tall ? "textarea" : "input");
    Object.assign(control, { name: key, value: this.values[key] ?? "", placeholder: String(placeholder ?? "") });
    if (tall) control.rows = 1;
    else control.type = "text";
    control.addEventListener("input", () => { this.values[key] = control.value.trim(); this.changed(); });
    return this.field(label, control, help);
  }

  check(key, label, standard, help) {
    const control = Object.assign(document.createElement("input"), { type: "checkbox", name: key, checked: this.values[key] ?? standard });
    control.addEventListener("change", () => { this.values[key] = control.checked === standard ? "" : control.checked; this.changed(); });
    return this.field(label, control, help);
  }

  select(key, label, choices, help, rebuild = false) {
    const control = Object.assign(document.createElement("select"), { name: key });
    control.append(...choices.map(each => Object.assign(document.createElement("option"), { value: each.value, textContent: each.text, disabled: !!each.disabled })));
    control.value = this.values[key] ?? "";
    control.addEventListener("change", () => {
      this.values[key] = control.value;
      if (rebuild) this.build();
      else this.changed();
    });
    return this.field(label, control, help);
  }
}

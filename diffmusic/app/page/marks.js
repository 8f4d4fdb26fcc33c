// Marks: stretches of time {start, end}, and rectangles, which have {low, high} in Hz besides. Each has boxes in a table.

import { clock, plain, seconds } from "./units.js";

export class Marks extends EventTarget {
  constructor(table) {
    super();
    this.body = table.tBodies[0];
    this.table = table;
    this.list = [];
    this.chosen = null;
  }

  /** Take the marks of a recording, kept in the browser for as long as its tab is open. */
  load(recording, listen) {
    this.recording = recording;
    this.listen = listen;
    this.duration = recording.samples / recording.rate;
    this.list = JSON.parse(sessionStorage.getItem(`marks ${recording.key}`) || "[]");
    this.chosen = null;
    this.show();
  }

  add(mark) {
    this.list.push(mark);
    this.list.sort((a, b) => a.start - b.start);
    this.chosen = mark;
    this.show();
    return mark;
  }

  remove(mark) {
    this.list = this.list.filter(each => each !== mark);
    if (this.chosen === mark) this.chosen = null;
    this.show();
  }

  choose(mark) {
    this.chosen = mark;
    for (const row of this.body.rows) row.classList.toggle("chosen", row.mark === mark);
    this.dispatchEvent(new Event("look"));
  }

  /** Move edges; they stay within the recording and in order. */
  change(mark, edges) {
    Object.assign(mark, edges);
    mark.start = Math.max(0, Math.min(mark.start, this.duration));
    mark.end = Math.max(0, Math.min(mark.end, this.duration));
    if (mark.end < mark.start) [mark.start, mark.end] = [mark.end, mark.start];
    if (mark.low > mark.high) [mark.low, mark.high] = [mark.high, mark.low];
    const row = [...this.body.rows].find(each => each.mark === mark);
    if (row) this.fill(row);
    this.keep();
  }

  keep() {
    sessionStorage.setItem(`marks ${this.recording.key}`, JSON.stringify(this.list));
    this.dispatchEvent(new Event("change"));
  }

  show() {
    const rectangles = this.list.some(mark => mark.high);
    this.table.classList.toggle("hidden-rows", !this.list.length);
    for (const cell of this.table.querySelectorAll("th.band")) cell.hidden = !rectangles;
    this.body.replaceChildren(...this.list.map((mark, number) => this.row(mark, number, rectangles)));
    this.keep();
  }

  row(mark, number, rectangles) {
    const row = document.createElement("tr");
    row.mark = mark;
    row.classList.toggle("chosen", mark === this.chosen);
    const box = (name, label, read) => {
      const input = Object.assign(document.createElement("input"), { type: "text", name, inputMode: "decimal" });
      input.setAttribute("aria-label", `${label} of mark ${number + 1}`);
      input.addEventListener("focus", () => this.choose(mark));
      input.addEventListener("change", () => {
        const value = read(input.value);
        if (Number.isFinite(value)) this.change(mark, { [name]: value });
        else this.fill(row);
      });
      const cell = document.createElement("td");
      cell.append(input);
      return cell;
    };
    row.append(box("start", "Start, seconds,", seconds), box("end", "End, seconds,", seconds));
    if (rectangles) {
      const cell = Object.assign(document.createElement("td"), { className: "band" });
      if (mark.high) cell.append(...box("low", "Lowest frequency, Hz,", Number).childNodes, ...box("high", "Highest frequency, Hz,", Number).childNodes);
      row.append(cell);
    }
    const actions = document.createElement("td");
    const button = (text, label, act) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      made.setAttribute("aria-label", `${label} mark ${number + 1}`);
      made.addEventListener("click", act);
      actions.append(made, " ");
    };
    button("▶", "Listen around", () => this.listen(mark));
    button("✕", "Remove", () => this.remove(mark));
    row.append(actions);
    this.fill(row);
    return row;
  }

  fill(row) {
    for (const input of row.querySelectorAll("input")) {
      const value = row.mark[input.name];
      input.value = input.name === "low" || input.name === "high" ? plain(value, 0) : plain(value, 5);
      if (input.name === "start" || input.name === "end") input.title = clock(value);
    }
  }
}

/** A mark as the command line has it. */
export function written(mark) {
  const time = `${plain(mark.start, 5)}:${plain(mark.end, 5)}`;
  return mark.high ? `${time}@${plain(mark.low, 0)}:${plain(mark.high, 0)}` : time;
}

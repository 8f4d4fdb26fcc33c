// The pictures: what is seen of the recording, in lanes that share one axis of time.

import { drawSpectrogram, drawWaveform } from "./tiles.js";
import { clock, hertz, mel, plain, tickStep } from "./units.js";

const RULER = 20;
const AXIS = 44;
const CLOSE = 6;
const HZ = [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 40000];

/** What is seen: from `start` seconds, `perPixel` seconds in a pixel. */
export class View extends EventTarget {
  constructor() { super(); Object.assign(this, { start: 0, perPixel: 0.01, width: 100, duration: 1, rate: 44100 }); }

  get end() { return this.start + this.width * this.perPixel; }

  set(start, perPixel) {
    const whole = this.duration / this.width;
    this.perPixel = Math.min(whole, Math.max(perPixel, 0.05 / this.rate));
    this.start = Math.max(0, Math.min(start, this.duration - this.width * this.perPixel));
    this.dispatchEvent(new Event("change"));
  }

  fit() { this.set(0, this.duration / this.width); }

  zoom(factor, around = (this.start + this.end) / 2) {
    const perPixel = Math.min(this.duration / this.width, this.perPixel * factor);
    this.set(around - (around - this.start) * perPixel / this.perPixel, perPixel);
  }

  scroll(share) { this.set(this.start + share * this.width * this.perPixel, this.perPixel); }

  show(start, end) {
    const room = Math.max((end - start) * 0.6, 0.05);
    this.set(start - room, (end - start + 2 * room) / this.width);
  }
}

export class Lane extends EventTarget {
  constructor(canvas, view, tiles, state) {
    super();
    Object.assign(this, { canvas, view, tiles, state, recording: null });
    canvas.addEventListener("pointerdown", event => this.press(event));
    canvas.addEventListener("pointermove", event => { if (!this.drag) this.hover(event); });
    canvas.addEventListener("wheel", event => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth) return;
    this.dpr = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(clientWidth * this.dpr);
    this.canvas.height = Math.round(clientHeight * this.dpr);
    const wave = Math.round((clientHeight - RULER) * 0.36);
    this.wave = { x: AXIS, y: RULER, width: clientWidth - AXIS, height: wave };
    this.spectrum = { x: AXIS, y: RULER + wave + 1, width: clientWidth - AXIS, height: clientHeight - RULER - wave - 1 };
    this.dispatchEvent(new Event("resized"));
  }

  x(time) { return AXIS + (time - this.view.start) / this.view.perPixel; }
  time(x) { return this.view.start + (x - AXIS) * this.view.perPixel; }
  hz(y) {
    const share = 1 - (y - this.spectrum.y) / this.spectrum.height;
    return hertz(Math.max(0, Math.min(1, share)) * mel(this.recording.rate / 2));
  }
  y(hz) { return this.spectrum.y + this.spectrum.height * (1 - mel(Math.min(hz, this.recording.rate / 2)) / mel(this.recording.rate / 2)); }

  draw() {
    if (!this.recording || !this.wave) return;
    const context = this.canvas.getContext("2d");
    const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    context.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
    context.fillStyle = colour("wave-ground");
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.save();
    context.beginPath();
    context.rect(AXIS, 0, this.wave.width, this.canvas.height);
    context.clip();
    drawWaveform(context, this.tiles, this.recording, this.view, this.wave, colour("wave"), this.dpr);
    context.fillStyle = "#0b0c14";
    context.fillRect(AXIS, this.spectrum.y, this.spectrum.width, this.spectrum.height);
    drawSpectrogram(context, this.tiles, this.recording, this.view, this.spectrum, this.state.top(), this.dpr);
    for (const mark of this.state.suggestions) this.mark(context, mark, colour("found"), false);
    for (const mark of this.state.marks.list) this.mark(context, mark, colour("mark"), mark === this.state.marks.chosen);
    if (this.drag?.mark) this.mark(context, this.drag.mark, colour("mark"), true);
    const at = this.x(this.state.player.now());
    context.fillStyle = colour("cursor");
    context.fillRect(at - 0.5, 0, 1.5, RULER + this.wave.height);
    context.fillStyle = "#fff";
    context.fillRect(at - 0.5, this.spectrum.y, 1.5, this.spectrum.height);
    context.restore();
    this.axes(context, colour("faint"), colour("edge"));
  }

  mark(context, mark, colour, chosen) {
    const [left, right] = [this.x(mark.start), this.x(mark.end)];
    const width = Math.max(2, right - left);
    const box = mark.high ? [this.y(mark.high), this.y(mark.low)] : [RULER, this.spectrum.y + this.spectrum.height];
    context.fillStyle = colour;
    if (!mark.high) {
      context.globalAlpha = chosen ? 0.3 : 0.2;
      context.fillRect(left, box[0], width, this.wave.height);
      box[0] += this.wave.height;
    }
    context.globalAlpha = chosen ? 0.14 : 0.09; // the spectrogram's own colours stay
    context.fillRect(left, box[0], width, box[1] - box[0]);
    if (!mark.high) box[0] = RULER;
    context.globalAlpha = 1;
    context.lineWidth = chosen ? 2 : 1.2;
    context.strokeStyle = colour;
    if (mark.high) context.strokeRect(left, box[0], width, box[1] - box[0]);
    else for (const x of [left, left + width]) { context.beginPath(); context.moveTo(x, box[0]); context.lineTo(x, box[1]); context.stroke(); }
  }

  axes(context, ink, edge) {
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = ink;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const step = tickStep(this.view.perPixel, 76);
    const digits = step >= 1 ? 0 : Math.min(4, Math.ceil(-Math.log10(step)));
    for (let n = Math.ceil(this.view.start / step); n * step <= this.view.end; n++) {
      const x = this.x(n * step);
      context.fillStyle = edge;
      context.fillRect(x, 0, 1, RULER);
      context.fillStyle = ink;
      if (x < AXIS + this.wave.width - 40) context.fillText(clock(n * step, digits), x + 4, RULER / 2);
    }
    context.textAlign = "right";
    let above = Infinity;
    for (const hz of HZ) {
      const y = this.y(hz);
      if (hz > this.recording.rate / 2 || above - y < 15 || y < this.spectrum.y + 7) continue;
      context.fillText(hz >= 1000 ? `${hz / 1000}k` : `${hz}`, AXIS - 8, y);
      context.fillRect(AXIS - 5, y, 4, 1);
      above = y;
    }
    context.fillText("Hz", AXIS - 8, this.spectrum.y + 7 < above - 13 ? this.spectrum.y + 7 : -20);
  }

  /** The mark, and its edges, that lie under a place. */
  under(x, y) {
    const inside = mark => !mark.high || (y > this.y(mark.high) - CLOSE && y < this.y(mark.low) + CLOSE);
    for (const mark of [...this.state.marks.list].reverse()) {
      if (!inside(mark)) continue;
      const edges = [];
      if (Math.abs(x - this.x(mark.start)) < CLOSE) edges.push("start");
      else if (Math.abs(x - this.x(mark.end)) < CLOSE) edges.push("end");
      if (mark.high && x > this.x(mark.start) - CLOSE && x < this.x(mark.end) + CLOSE) {
        if (Math.abs(y - this.y(mark.high)) < CLOSE) edges.push("high");
        else if (Math.abs(y - this.y(mark.low)) < CLOSE) edges.push("low");
      }
      if (edges.length || (x > this.x(mark.start) && x < this.x(mark.end))) return { mark, edges };
    }
    return null;
  }

  hover(event) {
    if (!this.recording || !this.wave) return;
    const found = this.under(event.offsetX, event.offsetY);
    const edges = found?.edges || [];
    const both = edges.length > 1;
    this.canvas.style.cursor = both ? "move" : edges.length ? (edges[0] === "high" || edges[0] === "low" ? "ns-resize" : "ew-resize") : "crosshair";
    this.canvas.title = `${clock(this.time(event.offsetX))}${event.offsetY > this.spectrum.y ? `, ${plain(this.hz(event.offsetY), 0)} Hz` : ""}`;
  }

  press(event) {
    if (event.button || !this.recording || !this.wave) return;
    this.canvas.focus();
    const { offsetX: x, offsetY: y } = event;
    const found = this.under(x, y);
    const rectangle = this.state.tool() === "rectangle" && y > this.spectrum.y;
    this.drag = { x, y, found, rectangle, mark: null };
    this.canvas.setPointerCapture(event.pointerId);
    const move = moved => this.dragged(moved.offsetX, moved.offsetY);
    const up = lifted => {
      this.canvas.removeEventListener("pointermove", move);
      this.dropped(lifted.offsetX);
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", up, { once: true });
  }

  /** A time as exact as a pixel is, in milliseconds at the coarsest. */
  neat(x) {
    const unit = 10 ** Math.min(5, Math.max(3, Math.ceil(-Math.log10(this.view.perPixel))));
    return Math.round(Math.max(0, Math.min(this.time(x), this.view.duration)) * unit) / unit;
  }

  dragged(x, y) {
    const { found, rectangle } = this.drag;
    if (Math.abs(x - this.drag.x) < 4 && Math.abs(y - this.drag.y) < 4 && !this.drag.moved) return;
    this.drag.moved = true;
    if (found?.edges.length) {
      const edges = {};
      for (const edge of found.edges) edges[edge] = edge === "low" || edge === "high" ? Math.round(this.hz(y)) : this.neat(x);
      const ordered = { ...found.mark, ...edges };
      if (ordered.end > ordered.start && !(ordered.low >= ordered.high)) this.state.marks.change(found.mark, edges);
    } else {
      const [a, b] = [this.neat(this.drag.x), this.neat(x)].sort((p, q) => p - q);
      this.drag.mark = { start: a, end: b };
      if (rectangle) {
        const [low, high] = [this.hz(this.drag.y), this.hz(y)].sort((p, q) => p - q);
        Object.assign(this.drag.mark, { low: Math.round(low), high: Math.max(1, Math.round(high)) });
      }
    }
    this.dispatchEvent(new Event("redraw"));
  }

  dropped(x) {
    const { mark, moved, found } = this.drag;
    this.drag = null;
    if (mark && mark.end > mark.start) this.state.marks.add(mark);
    else if (!moved) {
      this.state.marks.choose(found?.mark || null);
      this.state.player.seek(this.time(x));
    }
    this.dispatchEvent(new Event("redraw"));
  }

  wheel(event) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    if (event.ctrlKey || event.metaKey) this.view.zoom(1.2 ** Math.sign(event.deltaY), this.time(event.offsetX));
    else if (sideways) this.view.scroll((event.deltaX || event.deltaY) / this.view.width);
    else return;
    event.preventDefault();
  }
}

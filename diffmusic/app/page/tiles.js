// Tiles of waveforms and spectrograms: fetched where they are seen, the last ones first, and kept while they are near.

import { bytes } from "./server.js";

export const WIDTH = 512;
const KEPT = 400;
const AT_ONCE = 4;
const AGAIN = 600; // ms until a tile that was not all there is asked for again

export class Tiles {
  constructor(changed) {
    this.changed = changed;
    this.kept = new Map();
    this.wanted = [];
    this.open = 0;
  }

  /** A tile, or null until it is there. */
  take(kind, recording, zoom, number, query = "") {
    const path = `${kind}/${recording}/${zoom}/${number}${query}`;
    let tile = this.kept.get(path);
    if (tile) {
      this.kept.delete(path); // the order of the map is the order of use
      this.kept.set(path, tile);
    } else {
      tile = { path, kind, content: null, asked: false, again: 0 };
      this.kept.set(path, tile);
    }
    if (!tile.asked && performance.now() >= tile.again) {
      tile.asked = true;
      this.wanted.push(tile);
      this.next();
    }
    return tile.content;
  }

  /** A tile that is there already, or null. */
  peek(kind, recording, zoom, number, query = "") {
    return this.kept.get(`${kind}/${recording}/${zoom}/${number}${query}`)?.content || null;
  }

  /** Forget all tiles of a recording. */
  forget(recording) {
    for (const path of this.kept.keys()) if (path.split("/")[1] === recording) this.kept.delete(path);
  }

  next() {
    while (this.open < AT_ONCE && this.wanted.length) {
      const tile = this.wanted.pop();
      if (this.wanted.length > 60) this.wanted.splice(0, this.wanted.length - 60).forEach(old => { old.asked = false; });
      this.open += 1;
      this.fetch(tile).finally(() => { this.open -= 1; this.next(); });
    }
  }

  async fetch(tile) {
    try {
      const { partial, response } = await bytes(tile.path);
      const blob = await response.blob();
      tile.content = tile.kind === "spectrum" ? await createImageBitmap(blob) : new Int16Array(await blob.arrayBuffer());
      if (partial) {
        tile.asked = false;
        tile.again = performance.now() + AGAIN;
        setTimeout(this.changed, AGAIN + 20);
      }
    } catch {
      this.kept.delete(tile.path); // closed meanwhile
      return;
    }
    for (const [path, old] of this.kept) {
      if (this.kept.size <= KEPT) break;
      if (old.content) this.kept.delete(path);
    }
    this.changed();
  }
}

/** Draw a spectrogram's stretch of time into a box; what is not there yet is stretched from a coarser zoom. */
export function drawSpectrogram(context, tiles, recording, view, box, top, dpr) {
  const perPixel = view.perPixel * recording.rate;
  const zoom = Math.max(0, Math.floor(Math.log2(perPixel / dpr) + 0.01));
  const query = `?top=${top}`;
  context.imageSmoothingEnabled = true;
  const size = zoom => WIDTH * 2 ** zoom;
  const place = sample => box.x + (sample / recording.rate - view.start) / view.perPixel;
  const first = Math.max(0, Math.floor(view.start * recording.rate / size(zoom)));
  const last = Math.min(recording.samples - 1, (view.start + box.width * view.perPixel) * recording.rate);
  for (let number = first; number * size(zoom) <= last; number++) {
    const begin = number * size(zoom);
    const image = tiles.take("spectrum", recording.key, zoom, number, query);
    if (image) {
      context.drawImage(image, place(begin), box.y, image.width * 2 ** zoom / perPixel, box.height);
      continue;
    }
    for (let coarser = zoom + 1; coarser < zoom + 7; coarser++) {
      const parent = Math.floor(begin / size(coarser));
      const found = tiles.peek("spectrum", recording.key, coarser, parent, query);
      if (!found) continue;
      const from = (begin - parent * size(coarser)) / 2 ** coarser;
      const width = Math.min(WIDTH / 2 ** (coarser - zoom), found.width - from);
      if (width > 0) context.drawImage(found, from, 0, width, found.height, place(begin), box.y, width * 2 ** coarser / perPixel, box.height);
      break;
    }
  }
}

/** Draw a waveform's stretch of time into a box, one lane for each channel. */
export function drawWaveform(context, tiles, recording, view, box, colour, dpr) {
  const perPixel = view.perPixel * recording.rate;
  const zoom = Math.max(0, Math.floor(Math.log2(perPixel / dpr) + 0.01));
  const step = 2 ** zoom;
  const lane = box.height / recording.channels;
  const first = Math.max(0, Math.floor(view.start * recording.rate / (WIDTH * step)));
  const last = Math.min(recording.samples - 1, (view.start + box.width * view.perPixel) * recording.rate);
  context.fillStyle = context.strokeStyle = colour;
  context.lineWidth = 1.2;
  const wide = step / perPixel > 2; // samples that are seen one by one
  for (let number = first; number * WIDTH * step <= last; number++) {
    const pairs = tiles.take("wave", recording.key, zoom, number);
    if (!pairs) continue;
    const count = pairs.length / 2 / recording.channels;
    for (let channel = 0; channel < recording.channels; channel++) {
      const middle = box.y + lane * (channel + 0.5);
      const height = lane * 0.48 / 32767;
      context.beginPath();
      for (let k = 0; k < count; k++) {
        const x = box.x + ((number * WIDTH + k) * step / recording.rate - view.start) / view.perPixel;
        if (x < box.x - 4 || x > box.x + box.width + 4) continue;
        const at = 2 * (channel * count + k);
        const [low, high] = [middle - pairs[at] * height, middle - pairs[at + 1] * height];
        if (wide) {
          if (k) context.lineTo(x, high);
          else context.moveTo(x, high);
        } else context.rect(x, high - 0.5, Math.max(step / perPixel, 1 / dpr) + 0.5, Math.max(1, low - high + 1));
      }
      if (wide) context.stroke();
      else context.fill();
    }
  }
}

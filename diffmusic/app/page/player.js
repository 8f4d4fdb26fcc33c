// Playback: the samples of all versions come from the server, piece by piece, and run on one clock. Switching between
// them changes gains alone, so that both are heard at the same sample.

import { bytes } from "./server.js";

const PIECE = 1.5; // seconds
const AHEAD = 3.5;
const FADE = 0.008;

export class Player extends EventTarget {
  constructor() {
    super();
    this.tracks = new Map(); // key -> {recording, gain, node}
    this.heard = null;
    this.position = 0;
    this.playing = false;
    this.run = 0; // counts starts, so that late pieces of an earlier one are dropped
  }

  /** Replace the versions: [{recording, gain}]; playback goes on where the heard one remains. */
  load(versions, duration) {
    const was = this.playing;
    const at = this.now();
    this.stop();
    this.tracks = new Map(versions.map(each => [each.recording.key, { ...each, node: null }]));
    this.duration = duration;
    if (!this.tracks.has(this.heard)) this.heard = versions[0]?.recording.key ?? null;
    this.position = Math.min(at, duration);
    if (was) this.play();
  }

  now() {
    if (!this.playing || !this.began) return this.position;
    return Math.min(this.until, this.from + Math.max(0, this.context.currentTime - this.began));
  }

  /** Hear another version, at the same place. */
  hear(key) {
    this.heard = key;
    for (const [name, track] of this.tracks) {
      if (!track.node) continue;
      const target = name === key ? track.gain : 0;
      track.node.gain.setTargetAtTime(target, this.context.currentTime, FADE / 3);
    }
    this.dispatchEvent(new Event("change"));
  }

  setGain(key, gain) {
    const track = this.tracks.get(key);
    if (track) track.gain = gain;
    this.hear(this.heard);
  }

  async play(from = this.position, until = this.duration) {
    this.stop();
    if (!this.tracks.size) return;
    if (from >= this.duration - 0.01) from = 0;
    const run = ++this.run;
    const rate = Math.max(...[...this.tracks.values()].map(each => each.recording.rate));
    if (this.context?.sampleRate !== rate) {
      await this.context?.close();
      this.context = new AudioContext({ sampleRate: rate });
    }
    Object.assign(this, { from, until, playing: true, began: 0, sources: [], reached: from });
    for (const [key, track] of this.tracks) {
      track.node = new GainNode(this.context, { gain: key === this.heard ? track.gain : 0 });
      track.node.connect(this.context.destination);
    }
    this.dispatchEvent(new Event("change"));
    await this.context.resume();
    while (this.playing && run === this.run) {
      if (this.began && this.now() >= this.until) return this.stop(this.until);
      if (this.reached < this.until && this.reached < this.now() + AHEAD) {
        try {
          await this.piece(run);
        } catch (error) {
          if (run === this.run) this.stop(this.now());
          this.dispatchEvent(new CustomEvent("failed", { detail: error.message }));
          return;
        }
      } else await new Promise(later => setTimeout(later, 60));
    }
  }

  async piece(run) {
    const start = this.reached;
    const end = Math.min(start + PIECE, this.until);
    const pieces = await Promise.all([...this.tracks.values()].map(async track => {
      const { rate, samples, channels, key } = track.recording;
      const first = Math.round(start * rate);
      const count = Math.min(Math.round(end * rate), samples) - first;
      if (count <= 0) return null;
      const { response } = await bytes(`pcm/${key}?first=${first}&count=${count}`);
      const data = new Float32Array(await response.arrayBuffer());
      const lanes = channels === 2 ? 2 : 1;
      const buffer = new AudioBuffer({ numberOfChannels: lanes, length: data.length / lanes, sampleRate: rate });
      for (let lane = 0; lane < lanes; lane++) buffer.copyToChannel(data.subarray(lane * buffer.length, (lane + 1) * buffer.length), lane);
      return { track, buffer };
    }));
    if (run !== this.run || !this.playing) return;
    const rate = this.context.sampleRate;
    // Whole samples of the clock, so that pieces meet without a seam. A late piece begins the clock anew.
    if (!this.began || this.began + start - this.from < this.context.currentTime) {
      this.began = Math.ceil((this.context.currentTime + 0.06) * rate) / rate - (start - this.from);
    }
    const at = this.began + Math.round(start * rate) / rate - Math.round(this.from * rate) / rate;
    for (const piece of pieces) {
      if (!piece) continue;
      const source = new AudioBufferSourceNode(this.context, { buffer: piece.buffer });
      source.connect(piece.track.node);
      source.start(at);
      source.onended = () => { this.sources = this.sources.filter(each => each !== source); };
      this.sources.push(source);
    }
    this.reached = end;
  }

  stop(position = this.now()) {
    this.position = position;
    this.playing = false;
    this.began = 0;
    for (const source of this.sources || []) source.stop();
    this.sources = [];
    for (const track of this.tracks.values()) { track.node?.disconnect(); track.node = null; }
    this.dispatchEvent(new Event("change"));
  }

  seek(position) {
    const was = this.playing;
    this.stop(Math.max(0, Math.min(position, this.duration || 0)));
    if (was) this.play();
  }
}

// A scene for headphones: every object a panner with the browser's own ears, made-up tones or the stems that were given.
import { direction, poseAt } from "./sphere.js";

const LOOP = 8; // s of a section
const ROOM = { small: 0.3, medium: 0.6, large: 1.2 }; // s, as the renderer of `physworld export`
const TONES = {
  kick: [55, 0.5, "beat"], bass: [55, 1, "hold"], snare: [0, 1, "beat"], hihat: [0, 0.25, "beat"], drums_bus: [0, 0.5, "beat"],
  lead_vocal: [440, 2, "hold"], back_vocal: [330, 2, "hold"], pad: [220, 4, "hold"], synth_lead: [660, 0.5, "beat"],
  guitar: [196, 1, "beat"], piano: [262, 1, "beat"], strings: [294, 4, "hold"], brass: [233, 2, "hold"], fx: [0, 4, "hold"],
  dialogue: [150, 0.25, "beat"], ambience: [0, 8, "hold"], other: [350, 1, "beat"],
};

/** LOOP seconds of what a class might sound like; noise where it has no pitch. */
function tone(context, name, seed) {
  const [pitch, length, kind] = TONES[name];
  const buffer = context.createBuffer(1, LOOP * context.sampleRate, context.sampleRate);
  const out = buffer.getChannelData(0);
  let state = seed * 2654435761 + 1;
  for (let k = 0; k < out.length; k++) {
    const t = k / context.sampleRate;
    const since = t % length;
    state = (1664525 * state + 1013904223) >>> 0;
    const shape = kind === "beat" ? Math.exp(-since / (0.12 * length)) : 0.6 + 0.4 * Math.sin((2 * Math.PI * t) / length);
    const step = 2 ** ([0, 3, 5, 7][Math.floor(t / 2) % 4] / 12);
    let sound = state / 2 ** 31 - 1;
    if (pitch) {
      sound = 0;
      for (let h = 1; h < 6; h++) sound += Math.sin(2 * Math.PI * pitch * step * h * t) / h ** 1.4;
    }
    out[k] = 0.5 * sound * shape;
  }
  return buffer;
}

/** A buffer at the level of -20 dB RMS, so that `lufs` and `gain_db` say how loud it is. */
function levelled(buffer) {
  let sum = 0;
  const first = buffer.getChannelData(0);
  for (let k = 0; k < first.length; k++) sum += first[k] ** 2;
  return 0.1 / Math.sqrt(sum / first.length || 1);
}

function noise(context, seconds) {
  const buffer = context.createBuffer(2, Math.ceil(seconds * context.sampleRate), context.sampleRate);
  for (const side of [0, 1]) {
    const out = buffer.getChannelData(side);
    for (let k = 0; k < out.length; k++) out[k] = (2 * Math.random() - 1) * 10 ** ((-3 * k) / out.length);
  }
  return buffer;
}

export class Hearing {
  constructor() {
    this.stems = new Map(); // id -> AudioBuffer that somebody gave
    this.context = null;
    this.parts = [];
  }

  get on() {
    return this.parts.length > 0;
  }

  ready() {
    this.context ??= new AudioContext();
    return this.context;
  }

  async give(id, file) {
    this.stems.set(id, await this.ready().decodeAudioData(await file.arrayBuffer()));
  }

  start(scene, payload) {
    this.stop();
    const context = this.ready();
    context.resume();
    const all = context.createDynamicsCompressor(); // keeps peaks from clipping
    all.connect(context.destination);
    const wet = context.createConvolver();
    wet.buffer = noise(context, ROOM[scene.bed.room_preset.split("_").pop()] ?? 0.6);
    wet.connect(all);
    this.begun = context.currentTime;
    this.parts = scene.objects.map((thing, n) => {
      const source = context.createBufferSource();
      source.buffer = this.stems.get(thing.id) ?? tone(context, thing.class, n + 1);
      source.loop = true;
      const gain = context.createGain();
      const send = context.createGain();
      const panner = new PannerNode(context, { panningModel: "HRTF", distanceModel: "inverse", refDistance: 1, rolloffFactor: 1 });
      source.connect(gain).connect(panner).connect(all);
      gain.connect(send).connect(wet);
      source.start();
      return { source, gain, send, panner, level: levelled(source.buffer), loudness: payload.stems.find((s) => s.id === thing.id)?.lufs ?? -20 };
    });
    this.place(scene);
  }

  stop() {
    for (const part of this.parts) part.source.stop();
    this.parts = [];
  }

  /** The fraction of the section that is heard now. */
  get t() {
    return this.on ? ((this.context.currentTime - this.begun) % LOOP) / LOOP : 0;
  }

  /** WebAudio: x right, y up, z towards the listener's back. */
  place(scene) {
    const now = this.context?.currentTime;
    this.parts.forEach(({ gain, send, panner, level, loudness }, n) => {
      const thing = scene.objects[n];
      const [az, el, dist] = poseAt(thing, this.t);
      const [x, y, z] = direction(az, el).map((part) => part * Math.max(0.5, dist));
      for (const [to, value] of [[panner.positionX, x], [panner.positionY, y], [panner.positionZ, -z]]) to.setTargetAtTime(value, now, 0.02);
      gain.gain.setTargetAtTime(level * 10 ** ((loudness + 20 + thing.gain_db) / 20), now, 0.02);
      send.gain.setTargetAtTime(thing.reverb_send * 0.2, now, 0.02);
    });
  }
}

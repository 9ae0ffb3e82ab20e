// The simulator and the model on one scene, frame by frame, with a hand that reaches into both: physworld/play/worlds.py.
import { Codec } from "./codec.js";
import { energy, momentum, rmse } from "./figures.js";
import { refusal } from "./scene.js";
import { Truth } from "./truth.js";

const finite = (rows) => rows.every((row) => row.every(Number.isFinite));
const known = (value) => (Number.isFinite(value) ? value : null); // as JSON has it
// A scene file has up to 6 decimals; what is far beyond any place holds no more of them.
const round = (rows) => rows.map((row) => row.map((value) => (Math.abs(value) < 1e7 ? Math.round(value * 1e8) / 1e8 : value)));

// What needs no learning: physworld/text/evaluation/baselines.py.
const fly = (pull) => (scene, rows) => rows.map(([x, y, angle, vx, vy, spin], k) => {
  const moved = scene.bodies[k].kind === "kinematic" ? 0 : pull * scene.dt;
  return [x + scene.dt * vx, y + scene.dt * vy, angle + scene.dt * spin, vx + scene.gravity[0] * moved, vy + scene.gravity[1] * moved, spin];
});
export const BASELINES = { copy_last: (_, rows) => rows, linear: fly(0), ballistic: fly(1) };

export class Worlds {
  // model: null for none, the name of a baseline, or a Model.
  constructor(calls, scene, model, rows, text) {
    Object.assign(this, { calls, scene, text, hand: null, codec: null });
    rows ??= scene.bodies.map((body) => [...body.position, body.angle, ...body.velocity, body.spin]);
    this.moments = [{ truth: rows, guess: null, scene, said: null, touched: null, since: 0 }];
    this.live = new Truth(calls, scene, rows);
    this.choose(model);
  }

  get now() { return this.moments.at(-1); }

  // Another model goes on from where the truth is.
  choose(model) {
    this.model = model;
    this.why = model === null || typeof model === "string" ? "" : refusal(this.scene, this.text);
    Object.assign(this.now, { guess: model === null || this.why ? null : this.now.truth, said: null });
    this.compile();
  }

  compile() { this.codec = this.model === null || typeof this.model === "string" || this.why ? null : new Codec(this.text, this.scene); }

  // Forget what came after a frame. The simulator comes here again from where it began, hands included.
  backTo(frame) {
    if (!(frame >= 0 && frame < this.moments.length - 1)) return;
    this.moments.length = frame + 1;
    this.scene = this.now.scene;
    const first = this.now.since;
    this.live = new Truth(this.calls, this.scene, this.moments[first].truth);
    for (const moment of this.moments.slice(first + 1)) { this.live.step(); if (moment.touched) this.live.put(moment.truth); }
    this.compile();
  }

  // Another gravity (px/s²), or one friction or restitution for all, from now on.
  change({ gravity, friction, restitution }) {
    const surface = { ...(friction == null ? {} : { friction }), ...(restitution == null ? {} : { restitution }) };
    const dressed = (parts) => parts.map((part) => ({ ...part, ...surface }));
    this.scene = { ...this.scene, gravity: gravity ?? this.scene.gravity, bodies: dressed(this.scene.bodies), static: dressed(this.scene.static) };
    Object.assign(this.now, { scene: this.scene, since: this.moments.length - 1 });
    this.live = new Truth(this.calls, this.scene, this.now.truth);
    this.compile();
  }

  hold(hand) {
    const count = this.scene.bodies.length;
    if (hand && !(Number.isInteger(hand.body) && hand.body >= 0 && hand.body < count)) throw new Error(`There is no body ${hand.body}; the scene has 0 to ${count - 1}.`);
    this.hand = hand;
  }

  step() {
    const { limits } = this.text, before = this.now;
    if (this.moments.length >= limits.frames) throw new Error(`${limits.frames} frames are kept; rewind, or begin again, to go on.`);
    const held = this.hand && this.held(before);
    this.live.step();
    let truth = this.live.rows(), guess = null, said = null;
    if (held) { truth = held(truth); this.live.put(truth); }
    if (!finite(truth) || !truth.every(([x, y]) => Math.abs(x) < limits.gone && Math.abs(y) < limits.gone)) throw new Error("A body has left this world for good; rewind to see it again.");
    if (before.guess) {
      [guess, said] = this.ask(before.guess);
      if (guess && !finite(guess)) guess = null;
      if (guess && held) guess = held(guess);
    }
    this.moments.push({ truth, guess, scene: this.scene, said, touched: Boolean(held), since: before.since });
    return this.now;
  }

  ask(rows) {
    if (typeof this.model === "string") return [BASELINES[this.model](this.scene, rows), null];
    const listed = this.codec.records(rows), documents = this.codec.documents(listed), answers = this.model.answers(documents), said = new Map();
    documents.forEach(({ asked, bodies }, k) => {
      let at = 0;
      for (const body of asked) {
        const long = answers[k][at + 1] >= this.text.base;
        if (bodies.has(body)) said.set(body, long ? answers[k].slice(at + 1, at + 5) : answers[k][at + 1]);
        at += long ? 5 : 2;
      }
    });
    const next = this.codec.apply(rows, listed, said);
    return [next, { documents, answers }];
  }

  // What the hand does to rows: it moves its body no faster than the limit.
  held({ truth }) {
    const { body, x, y } = this.hand, { dt } = this.scene, [px, py] = truth[body];
    let vx = (x - px) / dt, vy = (y - py) / dt;
    const share = Math.min(1, this.text.limits.speed / Math.max(Math.hypot(vx, vy), 1e-9));
    vx *= share; vy *= share;
    return (rows) => rows.map((row, k) => (k === body ? [px + vx * dt, py + vy * dt, row[2], vx, vy, 0] : row));
  }

  // One frame as the page wants it.
  packed() {
    const { truth, guess, scene, since } = this.now, worlds = guess ? [truth, guess] : [truth];
    return { kind: "frame", t: this.moments.length - 1, since, truth: round(truth), guess: guess && round(guess), rmse: guess ? known(rmse(truth, guess)) : null,
      energy: worlds.map((rows) => known(energy(scene, rows))), momentum: worlds.map((rows) => known(momentum(scene, rows))) };
  }
}

// What the server does for the page, in the browser itself: the messages are those of physworld/play/live.py.
import { checked } from "./check.js";
import { engine, Model } from "./model.js";
import { Reader } from "./reading.js";
import { chipmunk } from "./truth.js";
import { BASELINES, Worlds } from "./worlds.js";

const SHOWN = 24; // documents of one frame
const from = (name) => new URL(`./${name}`, import.meta.url);
const bytes = async (name) => {
  const response = await fetch(from(name));
  if (!response.ok) throw new Error(`${name} cannot be fetched (${response.status}).`);
  return response.arrayBuffer();
};
const [calls, text] = await Promise.all([bytes("truth.wasm").then(chipmunk), fetch(from("text.json")).then((found) => found.json())]);
const reader = new Reader(text);
let shipped = null; // fetched behind the first picture

const model = async (name) => {
  if (name === "none") return null;
  if (Object.hasOwn(BASELINES, name)) return name;
  if (name !== "shipped") throw new Error(`${name} is no model of this page.`);
  shipped ??= Promise.all([bytes("think.wasm").then(engine), bytes("weights.bin")]).then(([think, weights]) => new Model(think, weights, text));
  shipped.catch(() => { shipped = null; }); // tried anew when it is asked for again
  return shipped;
};

let worlds = null, running = false, speed = 1, due = 0, turn = Promise.resolve();
const say = (sentence) => postMessage({ kind: "sentence", text: sentence });
const show = () => postMessage(worlds.packed());
const showWorld = () => { postMessage({ kind: "scene", scene: worlds.scene }); show(); }; // going back undoes a change, and a change ends a course
const finite = (value, name) => { if (!Number.isFinite(value)) throw new Error(`${name} must be a finite number.`); return value; };

function step() {
  const had = worlds.now.guess !== null;
  try {
    const moment = worlds.step();
    show();
    if (had && !moment.guess) say("The model's answer made no sense, so it stops here; the simulator goes on.");
  } catch (error) {
    running = false;
    say(error.message);
    postMessage({ kind: "state", running });
  }
}

// Steps at the chosen speed, or as fast as the model can. A timer waits 4 ms at least, so a step that is due is posted.
const soon = new MessageChannel();
let waiting = false; // for the next step
const again = () => { waiting = false; play(); };
soon.port1.onmessage = again;
function play() {
  if (!running || waiting) return;
  step();
  due = Math.max(due + 1000 * worlds.scene.dt / speed, performance.now() - 100);
  const wait = due - performance.now();
  waiting = true;
  if (wait < 1) soon.port2.postMessage(null); else setTimeout(again, wait);
}

const ACTS = {
  async begin({ scene, start, model: name }) {
    running = false;
    const whole = checked(scene, text);
    // The scene is shown before the model is there.
    const chosen = shipped === null && name === "shipped" ? null : await model(name);
    worlds = new Worlds(calls, whole, chosen, start, text);
    postMessage({ kind: "begun", scene: whole, why: worlds.why });
    show();
    if (chosen === null && name === "shipped") { worlds.choose(await model(name)); postMessage({ kind: "why", why: worlds.why }); show(); }
  },
  play() { running = true; due = performance.now(); postMessage({ kind: "state", running }); play(); },
  pause() { running = false; postMessage({ kind: "state", running }); },
  step() { running = false; step(); },
  back({ frame }) { worlds.backTo(frame); showWorld(); },
  speed({ value }) { speed = Math.min(Math.max(finite(value, "speed"), text.limits.speeds[0]), text.limits.speeds[1]); },
  hold({ body, x, y }) { worlds.hold({ body, x: finite(x, "x"), y: finite(y, "y") }); },
  release() { worlds.hold(null); },
  world({ gravity, friction, restitution }) {
    for (const value of [friction, restitution]) if (value != null) finite(value, "the surface");
    worlds.change({ gravity: gravity && gravity.map((value) => finite(value, "gravity")), friction, restitution });
    showWorld();
  },
  async model({ name }) { worlds.choose(await model(name)); postMessage({ kind: "why", why: worlds.why }); show(); },
  read({ frame }) {
    let at = Math.min(frame ?? Infinity, worlds.moments.length - 1);
    const last = at;
    while (at >= 0 && !worlds.moments[at].said?.documents.length) at--;
    if (at < 0) { postMessage({ kind: "text", documents: [], more: 0, t: last }); return; }
    const { documents, answers } = worlds.moments[at].said;
    const shown = documents.slice(0, SHOWN).map((document, k) => ({ reads: reader.prompt(document.ids), says: reader.answer(answers[k], worlds.model.judged(document, answers[k])) }));
    postMessage({ kind: "text", documents: shown, more: Math.max(0, documents.length - SHOWN), t: at });
  },
};

async function take(message) {
  try {
    if (!worlds && message.do !== "begin") throw new Error("There is no scene yet.");
    await ACTS[message.do](message);
  } catch (error) { say(error.message); }
}

onmessage = ({ data }) => { turn = turn.then(() => take(data)); };
postMessage({ kind: "ready" });

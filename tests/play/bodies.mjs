// A person on the page of bodies, and what a server answers, by hand: `node bodies.mjs FOLDER CASE` prints what came of it.
// FOLDER/page holds the page's scripts; its line.js is the one that is written here.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";
import { $, fire, paint, press, rest } from "./stand_in.mjs";

const [folder, name] = process.argv.slice(2);
fs.writeFileSync(path.join(folder, "page", "line.js"), `
  export const served = true, forms = ["jsonl", "gif"], accepts = "";
  export const connect = (heard) => { globalThis.heard = heard; return { send: (message) => sent.push(message) }; };
  export const choices = async () => ({ types: [{ name: "billiards", category: "own" }], categories: ["own"], models: ["ballistic"] });
  export const draw = async () => structuredClone(scene), whole = async (scene) => scene, open = async () => ({ scene });
  export const save = async (what) => { globalThis.saved = JSON.parse(JSON.stringify(what)); return new Blob([]); };
`);
const own = { angle: 0, spin: 0, velocity: [0, 0], friction: 0.5, restitution: 0.5, shape: "circle", size: [20], mass: 1 };
const scene = {
  name: "own", category: "own", difficulty: 1, text: "", gravity: [0, -981], dt: 1 / 60, canvas: [800, 600], joints: [], fields: [], static: [],
  bodies: [{ ...own, position: [400, 300] }, { ...own, position: [200, 300] }],
};
const free = { ...scene, gravity: [0, 0] };
const sent = [];
Object.assign(globalThis, { scene, sent });
URL.createObjectURL = () => "blob:";
await import(pathToFileURL(path.join(folder, "page", "main.js")));
const page = globalThis.physworld, { take, opened } = heard;

const frame = (t, more = {}) => take({ kind: "frame", t, since: 0, truth: [[400, 300 - t, 0, 0, 0, 0], [200, 300, 0, 0, 0, 0]], guess: null, rmse: null, energy: [1], momentum: [0], ...more });
const world = (is, t, more = {}) => { take({ kind: "scene", scene: is }); frame(t, more); };
const state = (running) => take({ kind: "state", running });
const begun = (is = scene) => { take({ kind: "begun", scene: structuredClone(is), why: "" }); frame(0, { truth: is.bodies.map(({ position, velocity }) => [...position, 0, ...velocity, 0]) }); paint(); };
const run = (frames) => { state(true); for (let t = 1; t <= frames; t++) frame(t); };
const did = () => sent.map((message) => message.do);
const heights = () => page.frames.map((one) => one.truth[0][1]);
const pointer = (kind, x, y) => $("truth").fire(kind, { clientX: x, clientY: y });

opened();
await rest();
begun();
sent.length = 0;

const CASES = {
  // The frame that was under way when the page rewound belongs to no course any more.
  async rewind() {
    run(5);
    $("rewind").onclick();
    const shown = [page.at, page.frames.length];
    frame(6);
    const late = [page.at, page.frames.length];
    state(false); world(scene, 0); frame(1); frame(2);
    await $("jsonl").onclick();
    return { sent, shown, late, at: page.at, saved: saved.truth.length, holes: JSON.stringify(saved.truth).includes("null") };
  },
  async slider() {
    run(5);
    $("frame").value = 2; $("frame").oninput();
    frame(6);
    const at = page.at;
    state(false);
    return { did: did(), at, stays: page.at, frames: page.frames.length };
  },
  async pause() { // and the last frame is seen
    run(5);
    press(" ");
    frame(6); state(false);
    return { did: did(), at: page.at };
  },
  // A world that is changed at an earlier frame begins another course there.
  async change() {
    run(9); state(false);
    $("frame").value = 4; $("frame").oninput();
    $("gravity").value = 0; $("gravity").oninput();
    const asked = [...sent], kept = page.frames.length;
    world(scene, 4); world(free, 4, { since: 4 });
    sent.length = 0;
    $("step").onclick();
    return { asked, kept, frames: page.frames.length, step: did(), gravity: page.scene.gravity };
  },
  // A body that is held when the world is paused is let go all the same.
  async letGo() {
    run(1);
    pointer("pointerdown", 400, 301);
    press(" "); state(false);
    pointer("pointerup", 400, 301);
    return sent.map(({ do: what, body }) => (body === undefined ? what : [what, body]));
  },
  // A drag that is cancelled, or that another frame ends, moves nothing; one that is let go of throws.
  async cancelled() {
    run(1); state(false);
    const drag = (end) => { pointer("pointerdown", 400, 301); pointer("pointermove", 500, 100); const seen = page.frames[1].truth[0].slice(0, 2); pointer(end); return seen; };
    const seen = drag("pointercancel"), after = page.frames[1].truth[0].slice(0, 2), asked = did();
    pointer("pointerdown", 400, 301); pointer("pointermove", 500, 100); press("ArrowLeft"); pointer("pointermove", 500, 110); pointer("pointercancel");
    const both = page.frames.map((one) => one.truth[0].slice(0, 2));
    press("ArrowRight"); drag("pointerup");
    return { seen, after, asked, both, thrown: sent.map(({ do: what, scene: is }) => [what, is?.bodies[0].position]) };
  },
  // What is not finite comes as null.
  async endless() {
    frame(1, { guess: [[400, 300, 0, 1e160, 0, 0], [200, 300, 0, 0, 0, 0]], rmse: null, energy: [null, 2], momentum: [1, null] });
    paint();
    return { rmse: $("rmse").textContent, figures: ["rmse", "energy", "momentum"].map((of) => $(`[data-out=${of}]`).textContent) };
  },
  // A file holds one world: that of the frame that is shown.
  async save() {
    const held = async () => { globalThis.saved = null; await $("jsonl").onclick(); return [saved?.truth.map(([[, y]]) => y) ?? null, saved?.scene.gravity[1] ?? null, $("notice").querySelector("p").textContent]; };
    run(3); state(false); world(free, 3, { since: 3 });
    const short = await held();
    for (const t of [4, 5]) frame(t, { since: 3 });
    const after = await held();
    for (let k = 0; k < 3; k++) press("ArrowLeft");
    const before = await held();
    await $("gif").onclick();
    return { short, after, before, film: saved.truth.length };
  },
  // Who connects again finds the speed that is set.
  async again() {
    $("speed").value = "0.1";
    $("again").onclick(); heard.opened();
    const asked = did();
    take({ kind: "begun", scene, why: "" });
    return { asked, then: sent.slice(asked.length) };
  },
  // Two pushes before an answer, and one whose answer is a refusal.
  async pushes() {
    const speeds = () => sent.filter((message) => message.do === "begin").map((message) => message.scene.bodies[0].velocity[0]);
    const right = () => press("ArrowRight", $("truth"));
    right(); right(); right();
    const first = speeds();
    begun(sent[0].scene);
    const second = speeds();
    take({ kind: "sentence", text: "No." });
    const third = speeds();
    $("blank").onclick(); right();
    $("another").onclick(); await rest();
    begun();
    return { first, second, third, all: speeds() };
  },
  async label() { // of a gravity beyond the slider's end
    let held = 0;
    Object.defineProperty($("gravity"), "value", { get: () => String(held), set: (value) => { held = Math.min(5, Math.max(-20, Number(value))); } });
    begun({ ...scene, gravity: [0, -2479] });
    const own = $("gravityOut").textContent;
    $("gravity").value = -3; $("gravity").oninput();
    return { own, moved: $("gravityOut").textContent };
  },
  async link() {
    const { toHash } = await import(pathToFileURL(path.join(folder, "page", "address.js")));
    await rest(50);
    location.hash = await toHash({ ...free, name: "linked" });
    fire("hashchange"); await rest(50);
    const asked = sent.map((message) => [message.do, message.scene?.name]);
    location.hash = "#scene=rubbish"; fire("hashchange"); await rest(50);
    return { asked, all: sent.length, said: $("notice").querySelector("p").textContent };
  },
  // Before a change of gravity the world is the one that was.
  async back() {
    run(3); state(false); world(free, 3, { since: 3 }); frame(4, { since: 3 });
    const after = [page.scene.gravity[1], $("gravityOut").textContent];
    press("ArrowLeft"); press("ArrowLeft");
    const before = [page.at, page.scene.gravity[1], $("gravityOut").textContent];
    press("r");
    state(false); world(scene, 0);
    return { after, before, rewound: [page.at, page.frames.length, page.scene.gravity[1], $("gravityOut").textContent] };
  },
};
process.stdout.write(JSON.stringify(await CASES[name](), (_, value) => value === undefined ? null : value));
process.exit(0);

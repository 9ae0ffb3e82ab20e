// A person on the video tab, and a server that samples for a while: `node video.mjs FOLDER CASE` prints what came of it.
import path from "path";
import { pathToFileURL } from "url";
import { $, rest } from "./stand_in.mjs";

const [folder, name] = process.argv.slice(2), asked = [];
const clip = { sheet: "", frames: 5, fps: 10, size: [48, 48], columns: 5, centre: Array(5).fill(null), height: Array(5).fill(1), gravity: 9.8, restitution: null, galileo: 4, off: 0, valid: true, said: "" };
const delays = { choices: 1, scene: 30, make: 60, job: 5, stop: 5 };
let job = null;
const told = () => { const state = job.stop ? "stopped" : Date.now() > job.until ? "done" : "running"; return { state, done: 1, steps: 2, left_s: 1, clip: state === "done" ? clip : null, sentence: "" }; };
const ANSWERS = {
  choices: () => ({ runs: [{ name: "r", rows: ["base", "lora"] }], scenarios: ["ball_drop", "pendulum"], physics: ["gravity_0.4"], how: "" }),
  scene: () => ({ caption: "A ball.", height: 2, restitution: 0.5, gravity: 9.8, truth: clip, wrong: clip, camera: clip }),
  make: () => { job = { until: Date.now() + 300, stop: false }; return told(); },
  job: told,
  stop: () => { if (job) job.stop = true; return {}; },
};
globalThis.fetch = async (address, { body } = {}) => {
  const what = address.split("/").pop();
  asked.push(what);
  await rest(delays[what]);
  return { ok: true, json: async () => ANSWERS[what](body && JSON.parse(body)) };
};
$("rows").querySelectorAll = () => [{ value: "lora" }, { value: "base" }];
for (const [id, value] of [["run", "r"], ["first", "none"], ["seed", "0"]]) $(id).value = value;
await import(pathToFileURL(path.join(folder, "page", "video.js")));
await rest(150);
asked.length = 0;
const page = globalThis.physworld;
const during = async (act) => { const made = $("make").onclick(); await rest(20); await Promise.all([made, act()]); return { made: asked.filter((what) => what === "make").length, stopped: job.stop, clips: Object.keys(page.clips), making: page.making }; };
const CASES = { another: () => during(() => $("another").onclick()), stop: () => during(() => $("stop").onclick()) };
process.stdout.write(JSON.stringify(await CASES[name]()));
process.exit(0);

// The page: what it shows, what a person does to it, and its line to who computes: a server, or a worker beside it.
import { fromHash, toHash } from "./address.js";
import { showText } from "./documents.js";
import { charts, METRE, metres, number } from "./figures.js";
import { hands } from "./hands.js";
import * as line from "./line.js";
import { EMPTY, removeBody, TOOLS } from "./tools.js";
import { colours, reach, View } from "./view.js";

const $ = (id) => document.getElementById(id);
const TRAIL = 24, FIGURES = 100; // ms between two paintings of figures while the world runs
const views = { truth: new View($("truth")), guess: new View($("guess")), both: new View($("both")) };
// scene: the world of the frame that is shown; latest: that of the frames to come; looking: pausing to see another frame than the last.
const page = { scene: null, latest: null, frames: [], at: 0, running: false, looking: false, tool: "grab", chosen: 0, drag: null, line: null, times: [], settled: true, waiting: [] };
let dirty = true, readDue = 0, figuresDue = 0, late = false;

// --- the line to who computes

function connect() {
  page.line = line.connect({
    opened: () => { $("again").hidden = true; if (!page.scene) start(); else begin(baked()); },
    take,
    closed: (sentence) => { setRunning(false); say(sentence); $("again").hidden = !line.served; },
  });
}

const send = (message) => page.line.send(message);

function take(message) {
  if (message.kind === "frame") {
    takeFrame(message);
    if ($("text").open && performance.now() > readDue) { readDue = performance.now() + (page.running ? 400 : 0); send({ do: "read" }); }
  } else if (message.kind === "begun") {
    page.scene = page.latest = message.scene;
    page.frames = []; page.settled = true; page.looking = false;
    setRunning(false);
    send({ do: "speed", value: Number($("speed").value) }); // a line that is new knows no speed
    page.chosen = Math.min(page.chosen, page.scene.bodies.length - 1);
    showWhy(message.why); showScene();
    toHash(page.scene).then((hash) => { if (hash.length < 30000) history.replaceState(null, "", hash); });
  } else if (message.kind === "scene") page.latest = message.scene; // the frame that holds in it follows
  else if (message.kind === "why") showWhy(message.why);
  else if (message.kind === "state") { page.looking = false; setRunning(message.running); }
  else if (message.kind === "sentence") { say(message.text); page.settled = true; }
  else if (message.kind === "text") showText(message);
  while (page.settled && page.frames.length && page.waiting.length) edit(page.waiting.shift());
  dirty = true;
}

function takeFrame(frame) {
  const { frames } = page;
  if (frame.t > frames.length) return; // was under way when the page went back: its course is left
  if (frame.t === frames.length) page.times.push(performance.now());
  if (page.times.length > 40) page.times.shift();
  frames.length = frame.t;
  frames.push({ ...frame, scene: page.latest });
  if (!page.looking || page.at > frame.t) lookAt(frame.t);
}

// A frame, and the world that held in it.
function lookAt(at) {
  page.at = at;
  if (page.frames[at].scene !== page.scene) { page.scene = page.frames[at].scene; showWorld(); }
}

const attempt = async (work) => { try { await work(); } catch (error) { say(error.message); } };

function say(text, good = false) {
  $("notice").hidden = false;
  $("notice").classList.toggle("good", good);
  $("notice").querySelector("p").textContent = text;
}

// --- scenes

async function start() {
  const choices = await line.choices();
  for (const category of choices.categories) {
    const group = document.createElement("optgroup");
    group.label = category;
    for (const type of choices.types.filter((t) => t.category === category)) group.append(new Option(type.name.replaceAll("_", " ") + (type.held_out ? " (held out)" : ""), type.name));
    $("type").append(group);
  }
  const baselines = { copy_last: "stands still", linear: "flies straight", ballistic: "ballistic" };
  for (const name of choices.models) $("model").append(new Option(baselines[name] ? `${baselines[name]} (no learning)` : name, name));
  $("model").append(new Option("none", "none"));
  $("type").value = "billiards";
  const linked = await fromAddress().catch((error) => { say(`${error.message} A new one is shown.`); });
  if (!linked) await attempt(() => drawType(0));
}

// Whether the address holds a scene, which then begins.
async function fromAddress() {
  const scene = await fromHash(location.hash);
  if (scene) begin(await line.whole(scene));
  return Boolean(scene);
}

let index = 0;
async function drawType(next) {
  index = next;
  begin(await line.draw($("type").value, $("difficulty").value, index));
}

function begin(scene, more = {}) {
  page.waiting = [];
  beginAs(scene, more);
}

function beginAs(scene, more = {}) {
  page.settled = false;
  setRunning(false);
  send({ do: "begin", scene, model: $("model").value, ...more });
}

// The scene as it is now: bodies where the shown frame has them.
function baked() {
  const scene = structuredClone(page.scene), rows = page.frames[page.at]?.truth;
  if (rows) scene.bodies.forEach((body, k) => { const [x, y, angle, vx, vy, spin] = rows[k]; Object.assign(body, { position: [x, y], velocity: [vx, vy], angle, spin }); });
  return scene;
}

// What is changed before the last change is answered waits for it, or it would undo it.
function edit(change) {
  if (!page.settled) { page.waiting.push(change); return; }
  const scene = baked(), wrong = change(scene);
  if (wrong) say(wrong); else beginAs(scene);
}

// --- showing

function showScene() {
  $("about").textContent = page.scene.text || "Your own scene.";
  const list = $("body");
  list.replaceChildren(...page.scene.bodies.map((body, k) => new Option(`${k}: ${body.shape === "rect" ? "box" : body.shape}`, k)));
  showWorld();
}

const WORLD = { gravity: (v) => `${v.toFixed(1)} m/s²`, restitution: (v) => v.toFixed(2), friction: (v) => v.toFixed(2) };

function showWorld() {
  const { scene } = page, parts = [...scene.bodies, ...scene.static];
  const mean = (key) => parts.reduce((sum, part) => sum + part[key], 0) / parts.length;
  set("gravity", scene.gravity[1] / METRE);
  set("restitution", mean("restitution"));
  set("friction", mean("friction"));
}

// The label is the scene's: a slider holds no value beyond its ends.
function set(id, value) {
  if (document.activeElement !== $(id)) $(id).value = value;
  $(`${id}Out`).textContent = WORLD[id](value);
}

function showWhy(why) {
  const name = $("model").value;
  $("who").textContent = name === "none" ? "no model" : $("model").selectedOptions[0]?.text ?? "";
  $("why").hidden = !why && name !== "none";
  $("why").textContent = why ? `This model cannot read the scene: ${why}.` : "No model is chosen.";
}

function setRunning(running) {
  page.running = running;
  $("play").querySelector("span").textContent = running ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", running);
  page.times = [];
}

function paint() {
  requestAnimationFrame(paint);
  const frame = page.frames[page.at];
  if (!page.scene || !frame) return;
  if (dirty) { dirty = false; late = true; worlds(frame); }
  // Charts and numbers cost as much as the worlds, and nobody reads sixty of them a second.
  if (late && (!page.running || performance.now() >= figuresDue)) { late = false; figuresDue = performance.now() + FIGURES; figures(frame); }
}

function worlds(frame) {
  const c = colours(), { scene, frames, at } = page;
  const trail = (of) => scene.bodies.map((_, k) => frames.slice(Math.max(0, at - TRAIL), at + 1).map((f) => f?.[of]?.[k]).filter(Boolean));
  for (const [name, rows] of [["truth", frame.truth], ["guess", frame.guess]]) {
    const view = views[name].begin(scene);
    view.background(scene, c);
    if (!rows) continue;
    view.trail(trail(name));
    view.bodies(scene, rows, c);
    view.joints(scene, rows, c);
    view.ring(scene, rows, page.chosen, c);
    preview(view, c);
  }
  const both = views.both.begin(scene);
  both.background(scene, c);
  both.bodies(scene, frame.truth, c, "ghost");
  both.joints(scene, frame.truth, { ink: c.ghost, paper: c.paper });
  if (frame.guess) { both.bodies(scene, frame.guess, c, "line"); both.errors(frame.truth, frame.guess, c); }
}

function figures(frame) {
  const { scene, frames, at } = page;
  charts(page, colours());
  $("rmse").textContent = frame.guess ? number(metres(frame.rmse), "m") : "–";
  $("frame").max = frames.length - 1; $("frame").value = at;
  $("frame").setAttribute("aria-valuetext", `frame ${at}`);
  $("clock").textContent = `${(at * scene.dt).toFixed(2)} s`;
  const spent = page.times.at(-1) - page.times[0], rate = (page.times.length - 1) / spent * 1000;
  $("rate").textContent = page.running && spent > 500 ? `${rate.toFixed(rate < 10 ? 1 : 0)} frames/s, ${(100 * rate * scene.dt).toFixed(0)} % of real time` : "";
  $("body").value = page.chosen;
  const row = frame.truth[page.chosen], body = scene.bodies[page.chosen];
  for (const input of $("numbers").querySelectorAll("input")) {
    if (input === document.activeElement) continue;
    const at = input.dataset.at;
    input.value = at === "mass" ? Number(body.mass.toPrecision(4)) : at === "size" ? (reach(body) / METRE).toFixed(3) : (row[at] / METRE).toFixed(3);
    input.disabled = at === "size" && body.shape !== "circle";
  }
}

function preview(view, c) {
  const { drag, tool } = page;
  if (!drag || tool === "grab") return;
  const far = Math.hypot(drag.to[0] - drag.from[0], drag.to[1] - drag.from[1]);
  if (tool === "circle" || tool === "peg") view.disc(drag.from, far, null, c.accent, 2);
  else if (tool === "box") view.line([drag.from, [drag.to[0], drag.from[1]], drag.to, [drag.from[0], drag.to[1]], drag.from], c.accent, 2 * view.px);
  else view.line([drag.from, drag.to], c.accent, 2 * view.px);
}

// --- hands

hands({ page, views, send, edit, changed: () => { dirty = true; } });

function push(dx, dy) {
  edit((scene) => { const body = scene.bodies[page.chosen]; body.velocity = [body.velocity[0] + 50 * dx, body.velocity[1] + 50 * dy]; });
}

// --- buttons and keys

function play() {
  if (page.running) { send({ do: "pause" }); return; }
  goBack(page.at);
  send({ do: "play" });
}
// From a frame on there is to be another course.
function goBack(at) {
  if (at >= page.frames.length - 1) return;
  send({ do: "back", frame: at });
  page.frames.length = at + 1;
}
function look(at) {
  if (page.running) { send({ do: "pause" }); page.looking = true; }
  show(at);
}
const show = (at) => { if (page.frames.length) lookAt(Math.max(0, Math.min(page.frames.length - 1, at))); dirty = true; if ($("text").open) send({ do: "read", frame: page.at }); };
function step() { if (page.running) send({ do: "pause" }); else if (page.at < page.frames.length - 1) show(page.at + 1); else send({ do: "step" }); }
function stepBack() { look(page.at - 1); }
// Also of one frame: the next may be under way.
function rewind() { page.looking = true; send({ do: "pause" }); send({ do: "back", frame: 0 }); page.frames.length = Math.min(1, page.frames.length); show(0); }

$("play").onclick = play; $("step").onclick = step; $("stepBack").onclick = stepBack; $("rewind").onclick = rewind;
$("frame").oninput = () => look(Number($("frame").value));
$("speed").onchange = () => send({ do: "speed", value: Number($("speed").value) });
$("type").onchange = $("difficulty").onchange = () => attempt(() => drawType(0));
$("another").onclick = () => attempt(() => drawType(index + 1));
$("blank").onclick = () => begin(structuredClone(EMPTY));
$("model").onchange = () => { send({ do: "pause" }); goBack(page.at); send({ do: "model", name: $("model").value }); };
$("again").onclick = () => { $("notice").hidden = true; connect(); };
$("hush").onclick = () => { $("notice").hidden = true; };
$("body").onchange = () => { page.chosen = Number($("body").value); dirty = true; };
$("remove").onclick = () => edit((scene) => removeBody(scene, page.chosen));
$("text").ontoggle = () => { if ($("text").open) send({ do: "read", frame: page.at }); };
$("numbers").onchange = (event) => {
  const { at } = event.target.dataset, typed = event.target.value, value = Number(typed);
  event.target.blur();
  edit((scene) => {
    const body = scene.bodies[page.chosen];
    if (typed === "" || !Number.isFinite(value)) return "This must be a number.";
    if (at === "mass") body.mass = value;
    else if (at === "size") body.size = [value * METRE];
    else (at < 2 ? body.position : body.velocity)[at < 2 ? at : at - 3] = value * METRE;
  });
};
for (const id of ["gravity", "restitution", "friction"]) $(id).oninput = () => {
  const value = Number($(id).value);
  $(`${id}Out`).textContent = WORLD[id](value);
  goBack(page.at);
  send({ do: "world", [id]: id === "gravity" ? [page.scene.gravity[0], value * METRE] : value });
};

for (const [name, tool] of Object.entries(TOOLS)) {
  const button = document.createElement("button");
  Object.assign(button, { textContent: tool.label, type: "button" });
  button.setAttribute("role", "radio");
  button.onclick = () => {
    page.tool = name;
    document.body.classList.toggle("drawing", name !== "grab");
    $("hint").textContent = tool.hint;
    for (const other of $("tools").children) { other.setAttribute("aria-checked", other === button); other.tabIndex = other === button ? 0 : -1; }
  };
  $("tools").append(button);
}
$("tools").onkeydown = (event) => {
  const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!way) return;
  event.preventDefault(); event.stopPropagation();
  const all = [...$("tools").children], next = all[(all.indexOf(document.activeElement) + way + all.length) % all.length];
  next.focus(); next.click();
};
$("tools").firstChild.click();

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const scene = event.target === $("truth") || event.target === $("guess");
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (scene && arrow) push(...arrow);
  else if (scene && event.key === "n") { page.chosen = (page.chosen + 1) % page.scene.bodies.length; dirty = true; }
  else if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.tagName !== "SUMMARY") play();
  else if (event.key === "ArrowRight") step();
  else if (event.key === "ArrowLeft") stepBack();
  else if (event.key === "r") rewind();
  else return;
  event.preventDefault();
});

// --- files

const keep = (blob, name) => { const a = document.createElement("a"); a.href = URL.createObjectURL(blob); a.download = name; a.click(); setTimeout(() => URL.revokeObjectURL(a.href), 1000); };
const save = (form) => attempt(async () => {
  // A scene file holds one world, so it begins where gravity, bounce or friction was last changed.
  const { since, scene } = page.frames[page.at], first = form === "jsonl" ? since : 0;
  const frames = page.frames.slice(first, page.at + 1), truth = frames.map((f) => f.truth), guess = frames.every((f) => f.guess) ? frames.map((f) => f.guess) : null;
  if (form === "jsonl" && truth.length < 2) throw new Error(`A scene file holds at least two frames${since ? " of one gravity, bounce and friction" : ""}: let it run a little first.`);
  if (form === "gif") say("The GIF is being written.", true);
  keep(await line.save({ as: form, scene, truth, guess }), `${scene.name}.${form}`);
  if (form === "gif") $("notice").hidden = true;
  else if (since) say(`The file begins at ${(since * scene.dt).toFixed(2)} s, where this gravity, bounce and friction do: a scene file holds one of each.`, true);
});
$("jsonl").onclick = () => save("jsonl"); $("gif").onclick = () => save("gif");
$("link").onclick = () => attempt(async () => {
  const hash = await toHash(baked());
  history.replaceState(null, "", hash);
  await navigator.clipboard?.writeText(location.href).catch(() => null);
  say("The link to this scene is copied, and in the address bar.", true);
});
$("open").onclick = () => $("file").click();
$("file").onchange = () => attempt(async () => {
  const [file] = $("file").files;
  if (!file) return;
  $("file").value = "";
  const read = await line.open(file);
  begin(read.scene, read.start ? { start: read.start } : {});
  $("notice").hidden = true;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); $("file").files = event.dataTransfer.files; $("file").dispatchEvent(new Event("change")); });
addEventListener("hashchange", () => attempt(fromAddress)); // a link that is typed over this one
addEventListener("resize", () => { dirty = true; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { dirty = true; });
for (const form of ["jsonl", "gif"]) $(form).hidden = !line.forms.includes(form);
$("file").accept = line.accepts;
window.physworld = page; // for tests and the curious
connect();
paint();

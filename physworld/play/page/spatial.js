// The spatial tab: a payload form, a scene to drag on a sphere, rules that turn red, and sound.
import { Hearing } from "./hearing.js";
import { View, angles, paint, poseAt, share } from "./sphere.js";

const $ = (id) => document.getElementById(id);
const STEP = { az_deg: 1, el_deg: 1, dist_m: 0.1, width: 0.05, gain_db: 0.5, reverb_send: 0.01 };
const RANGE = { az_deg: [-180, 180], el_deg: [-45, 90], dist_m: [0.5, 15], width: [0, 1], gain_db: [-60, 12], reverb_send: [0, 1] };
const page = { payload: null, scene: null, rules: [], violations: [], choices: null, chosen: 0, broken: new Set(), edits: 0, stale: false, judging: false, refused: false, turn: Promise.resolve() };
const PAUSE = 60; // ms before a question whether the rules hold
const view = new View();
const hearing = new Hearing();
let discs = [];
window.physworld = page; // for tests and for the curious
page.hearing = hearing;

function notice(text) {
  $("notice").hidden = !text;
  $("notice").querySelector("p").textContent = text;
}

async function ask(what, body) {
  const answer = await fetch(`api/spatial/${what}`, body ? { method: "POST", body: JSON.stringify(body) } : {});
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.sentence);
  return said;
}

/** Options of a select. */
function options(select, names, value) {
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === value)));
}

// --- the payload

function formOf(payload) {
  const { choices } = page;
  options($("style"), choices.styles, payload.style);
  options($("section"), choices.sections, payload.section);
  $("energy").value = payload.global.energy;
  $("most").value = payload.max_objects;
  $("energyOut").textContent = payload.global.energy;
  $("rules").value = payload.rules.map((rule) => JSON.stringify(rule)).join("\n");
  $("stems").replaceChildren(...payload.stems.map(stemRow));
}

function stemRow(stem) {
  const row = document.createElement("div");
  row.className = "stem";
  const name = Object.assign(document.createElement("input"), { value: stem.id, maxLength: 16 });
  name.setAttribute("aria-label", "Name of the stem");
  const kind = document.createElement("select");
  kind.setAttribute("aria-label", `Class of ${stem.id}`);
  options(kind, page.choices.classes, stem.class);
  const remove = Object.assign(document.createElement("button"), { textContent: "×" });
  remove.setAttribute("aria-label", `Remove ${stem.id}`);
  remove.onclick = () => row.remove();
  row.stem = stem;
  row.append(name, kind, remove);
  return row;
}

/** What the form says. Throws a sentence where a line is no JSON. */
function payloadOf() {
  const rules = $("rules").value.split("\n").filter((line) => line.trim()).map((line, k) => {
    try {
      return JSON.parse(line);
    } catch {
      throw new Error(`Rule ${k + 1} is not valid JSON.`);
    }
  });
  const stems = [...$("stems").children].map((row) => {
    const [name, kind] = row.children;
    return { ...row.stem, id: name.value.trim(), class: kind.value };
  });
  return {
    ...page.payload, style: $("style").value, section: $("section").value, max_objects: Number($("most").value),
    global: { ...page.payload.global, energy: Number($("energy").value) }, stems, rules,
  };
}

async function write() {
  const payload = payloadOf();
  const said = await ask("scene", { payload });
  page.payload = payload;
  page.chosen = 0;
  replace(said);
  if (hearing.on) hearing.start(page.scene, page.payload);
}

// --- the scene

/** Another scene, which comes judged. */
function replace(said) {
  page.stale = false;
  show(said);
}

function show({ scene, rules, violations, edits = [] }) {
  Object.assign(page, { scene, rules, violations });
  const lines = [...violations, ...rules.filter((rule) => rule.status === "fail").flatMap((rule) => rule.reasons)];
  page.broken = new Set(lines.flatMap((line) => [...line.matchAll(/^\$\.objects\[(\d+)\]/g)].map((found) => Number(found[1]))));
  $("verdict").textContent = violations.length ? `${violations.length} broken` : "keeps every rule";
  $("kept").replaceChildren(...rules.map(({ tag, status, reasons }) => {
    const item = document.createElement("li");
    item.className = status;
    const word = { pass: "✓", fail: "✗ broken:", conflict: "cannot hold:" }[status];
    item.append(Object.assign(document.createElement("b"), { textContent: `${word} ${tag}` }));
    for (const reason of reasons) item.append(Object.assign(document.createElement("small"), { textContent: reason }));
    return item;
  }), ...violations.filter((line) => !rules.some((rule) => rule.reasons.includes(line))).map((line) =>
    Object.assign(document.createElement("li"), { className: "fail", textContent: line })));
  $("edits").replaceChildren(...edits.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  options($("object"), scene.objects.map((thing) => thing.id), scene.objects[page.chosen]?.id);
  numbers();
  draw();
}

function numbers() {
  const thing = page.scene.objects[page.chosen];
  for (const input of $("pose").querySelectorAll("input")) if (input !== document.activeElement) input.value = thing[input.dataset.key];
}

function draw() {
  if (!page.scene) return;
  discs = paint($("sphere"), view, page.scene, { chosen: page.chosen, broken: page.broken, t: hearing.t, classes: page.choices.classes });
}

/** Judge what is on the page while it changes: one question after the other, so that answers come during a drag, too. */
async function judge() {
  page.stale = true;
  if (page.judging) return;
  page.judging = true;
  while (page.stale) {
    await new Promise((done) => setTimeout(done, PAUSE));
    if (!page.stale) break;
    page.stale = false;
    const { payload, scene, edits } = page;
    try {
      const said = await ask("check", { payload, scene });
      if (scene !== page.scene) continue; // another one was written or repaired meanwhile
      show(edits === page.edits ? said : { ...said, scene }); // what was changed meanwhile stays
      if (page.refused) notice("");
      page.refused = false;
    } catch (error) {
      if (scene === page.scene) { page.refused = true; notice(error.message); }
    }
  }
  page.judging = false;
}

/** Change the chosen object; a pose that is set by hand ends its motion. */
function change(values) {
  const thing = page.scene.objects[page.chosen];
  for (const [key, value] of Object.entries(values)) {
    const [low, high] = RANGE[key];
    let kept = value;
    if (key === "az_deg") kept = ((((value + 180) % 360) + 360) % 360) - 180;
    kept = Math.round(Math.max(low, Math.min(high, kept)) / STEP[key]) * STEP[key];
    thing[key] = Number(kept.toFixed(2));
  }
  if ("az_deg" in values || "el_deg" in values || "dist_m" in values) thing.motion = [];
  numbers();
  draw();
  hearing.place(page.scene);
  page.edits++;
  judge();
}

function choose(n) {
  page.chosen = (n + page.scene.objects.length) % page.scene.objects.length;
  $("object").selectedIndex = page.chosen;
  numbers();
  draw();
}

// --- mouse and keyboard

let held = null;
const sphere = $("sphere");

function place(event) {
  const box = sphere.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top, box];
}

sphere.addEventListener("pointerdown", (event) => {
  const [x, y] = place(event);
  const hit = discs.filter((disc) => Math.hypot(disc.x - x, disc.y - y) < disc.r + 4).sort((a, b) => b.depth - a.depth)[0];
  held = hit ? { near: hit.depth >= 0 } : { turn: [x, y, view.yaw, view.pitch] };
  if (hit) choose(hit.n);
  sphere.setPointerCapture(event.pointerId);
});
sphere.addEventListener("pointermove", (event) => {
  if (!held) return;
  const [x, y, box] = place(event);
  if (held.turn) {
    const [x0, y0, yaw, pitch] = held.turn;
    view.yaw = yaw + (x - x0) / 3;
    view.pitch = Math.max(-90, Math.min(90, pitch + (y - y0) / 3));
    draw();
    return;
  }
  const thing = page.scene.objects[page.chosen];
  const reach = 0.44 * Math.min(box.width, box.height) * share(poseAt(thing, hearing.t)[2]);
  const [az, el] = angles(view.under((x - box.width / 2) / reach, (y - box.height / 2) / reach, held.near));
  change({ az_deg: az, el_deg: el });
});
for (const kind of ["pointerup", "pointercancel"]) sphere.addEventListener(kind, () => (held = null));
sphere.addEventListener("wheel", (event) => {
  event.preventDefault();
  change({ dist_m: page.scene.objects[page.chosen].dist_m * (event.deltaY > 0 ? 1.08 : 0.93) });
}, { passive: false });
sphere.addEventListener("keydown", (event) => {
  const thing = page.scene.objects[page.chosen];
  const turns = { ArrowLeft: ["az_deg", 5], ArrowRight: ["az_deg", -5], ArrowUp: ["el_deg", 5], ArrowDown: ["el_deg", -5], "+": ["dist_m", 0.1], "-": ["dist_m", -0.1] };
  if (event.key === "n" || event.key === "N") choose(page.chosen + (event.shiftKey ? -1 : 1));
  else if (turns[event.key]) change({ [turns[event.key][0]]: thing[turns[event.key][0]] + turns[event.key][1] });
  else return;
  event.preventDefault();
});

// --- buttons

/** One after the other: what was written is there before it is repaired. */
const doing = (act) => () => (page.turn = page.turn.then(async () => {
  try {
    notice("");
    await act();
  } catch (error) {
    notice(error.message);
  }
}));

$("write").onclick = doing(write);
$("mend").onclick = doing(async () => {
  const { payload, scene, edits } = page;
  const said = await ask("repair", { payload, scene });
  if (edits !== page.edits) throw new Error("The scene was changed meanwhile; press Repair again.");
  page.chosen = Math.min(page.chosen, said.scene.objects.length - 1);
  replace(said);
  if (hearing.on) hearing.start(page.scene, page.payload);
});
$("hear").onclick = () => {
  if (hearing.on) hearing.stop();
  else hearing.start(page.scene, page.payload);
  $("hear").setAttribute("aria-pressed", String(hearing.on));
  $("hear").textContent = hearing.on ? "Silence" : "Hear it";
  const frame = () => {
    if (!hearing.on) return;
    hearing.place(page.scene);
    draw();
    requestAnimationFrame(frame);
  };
  frame();
  draw();
};
$("load").onclick = () => $("audio").click();
$("audio").onchange = doing(async () => {
  const ids = page.payload.stems.map((stem) => stem.id);
  const missed = [];
  for (const file of $("audio").files) {
    const name = file.name.replace(/\.[^.]*$/, "");
    const id = ids.find((one) => one.toLowerCase() === name.toLowerCase());
    if (!id) missed.push(name);
    else await hearing.give(id, file);
  }
  $("sounds").textContent = `${hearing.stems.size} of ${ids.length} stems are yours.`;
  if (missed.length) throw new Error(`No stem is called ${missed.join(", ")}; the stems are ${ids.join(", ")}.`);
  if (hearing.on) hearing.start(page.scene, page.payload);
});
$("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(page.scene)}\n`], { type: "application/json" }));
  link.download = "scene.json";
  link.click();
  URL.revokeObjectURL(link.href);
};
$("front").onclick = () => {
  view.home();
  draw();
};
$("hush").onclick = () => notice("");
$("object").onchange = () => choose($("object").selectedIndex);
$("energy").oninput = () => ($("energyOut").textContent = $("energy").value);
$("addStem").onclick = () => {
  const taken = [...$("stems").children].map((row) => row.children[0].value);
  let k = taken.length + 1;
  while (taken.includes(`stem${k}`)) k++;
  $("stems").append(stemRow({ ...page.payload.stems[0], id: `stem${k}`, class: "other", leadness: 0.3 }));
};
$("addRule").onchange = () => {
  const rule = page.choices.rules.find(({ type }) => type === $("addRule").value);
  if (rule) $("rules").value = `${$("rules").value.trimEnd()}\n${JSON.stringify(rule)}`.trimStart();
  $("addRule").selectedIndex = 0;
};
for (const input of $("pose").querySelectorAll("input")) {
  input.onchange = () => {
    if (input.value !== "") change({ [input.dataset.key]: Number(input.value) });
  };
}
new ResizeObserver(draw).observe(sphere);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

doing(async () => {
  page.choices = await ask("choices");
  page.payload = page.choices.payload;
  options($("addRule"), ["choose a type", ...page.choices.rules.map(({ type }) => type)], "choose a type");
  formOf(page.payload);
  await write();
})();

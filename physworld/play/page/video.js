// The video tab: the simulator's clip beside those that a run samples, and what a tracker reads off each.
import { colours } from "./view.js";

const $ = (id) => document.getElementById(id);
const HIGH = 288; // px of a small clip on the page
const ASK = 250; // ms between two questions how far the sampler is
const NAMES = { camera: "Camera", truth: "Simulator", wrong: "Wrong", lora: "Model", placebo: "Placebo", base: "Base" };
const TONES = { truth: "wall", wrong: "error", lora: "#0b7fc4", placebo: "#d98c00", base: "#0a9a76" };
const LONG = { lora: "the model: tuned on right physics", placebo: "the placebo: tuned on wrong physics", base: "the base: not tuned" };
const page = { choices: null, scene: null, clips: {}, pictures: {}, index: 0, at: 0, running: false, making: false, stopped: false, picture: null, asked: 0 };
window.physworld = page; // for tests and for the curious

function notice(text) {
  $("notice").hidden = !text;
  $("notice").querySelector("p").textContent = text;
}

async function ask(what, body) {
  const answer = await fetch(`api/video/${what}`, body ? { method: "POST", body: JSON.stringify(body) } : {}).catch(() => null);
  if (!answer) throw new Error("The server does not answer; start physworld play again.");
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.sentence);
  return said;
}

const attempt = (act) => async (event) => {
  try {
    notice("");
    await act(event);
  } catch (error) {
    notice(error.message);
  }
};

// --- what is asked for

const isDrop = () => /^ball_(?!on_ramp)/.test($("scenario").value);
const wanted = () => [...$("rows").querySelectorAll("input:checked")].map((box) => box.value);

function asked() {
  const typed = isDrop() && page.scene?.own && $("height").value !== "";
  return {
    scenario: $("scenario").value, index: page.index, run: $("run").value || null, physics: $("physics").value || null,
    ...(typed ? { height: Number($("height").value), restitution: Number($("bounce").value) } : {}),
  };
}

async function show(own = false) {
  const mine = ++page.asked, kept = page.scene;
  page.scene = { ...kept, own };
  if (page.making) await stop();
  const said = await ask("scene", asked());
  const names = ["camera", "truth", "wrong"].filter((name) => said[name]), pictures = await Promise.all(names.map((name) => decoded(said[name])));
  if (mine !== page.asked) return; // another scene was asked for meanwhile
  page.scene = { ...said, own };
  page.clips = Object.fromEntries(names.map((name) => [name, said[name]])); // all at once: whoever looks finds a whole scene
  names.forEach((name, k) => { page.pictures[name] = pictures[k]; });
  $("caption").value = said.caption;
  if (isDrop()) [$("height").value, $("bounce").value] = [said.height, said.restitution];
  $("drop").hidden = !isDrop();
  page.at = 0;
  lay();
}

async function decoded(clip) {
  const picture = new Image();
  picture.src = clip.sheet;
  await picture.decode();
  return picture;
}

async function make() {
  const rows = wanted();
  if (!rows.length) throw new Error("Choose who makes a clip: the model, the placebo or the base.");
  const first = $("first").value === "own" ? page.picture : $("first").value;
  if (!first) throw new Error("Choose a picture for the first frame.");
  const mine = page.asked;
  page.making = true;
  page.stopped = false;
  $("make").disabled = true;
  $("stop").hidden = $("progress").hidden = false;
  try {
    for (const row of rows) delete page.clips[row];
    lay();
    for (const row of rows) {
      tell(row, { done: 0, steps: 1, left_s: null });
      let job = await ask("make", { ...asked(), row, caption: $("caption").value, first, seed: Number($("seed").value) });
      if (page.stopped) await stop(); // it may have come before there was anything to stop
      while (job.state === "running") {
        tell(row, job);
        await new Promise((done) => setTimeout(done, ASK));
        job = await ask("job");
      }
      if (page.stopped || mine !== page.asked) break;
      if (job.state === "failed") throw new Error(job.sentence);
      const picture = await decoded(job.clip);
      if (mine !== page.asked) break; // the clip is of a scene that is gone
      [page.clips[row], page.pictures[row]] = [job.clip, picture];
      lay();
    }
  } finally {
    page.making = false;
    $("make").disabled = false;
    $("stop").hidden = $("progress").hidden = true;
    $("how").textContent = page.choices.how;
  }
}

function stop() {
  page.stopped = true;
  return ask("stop", {});
}

function tell(row, { done, steps, left_s }) {
  $("progress").max = steps;
  $("progress").value = done;
  const left = left_s === null ? "" : `, about ${left_s < 90 ? `${Math.ceil(left_s)} s` : `${Math.ceil(left_s / 60)} min`} left`;
  $("how").textContent = `${NAMES[row]}: step ${done} of ${steps}${left}`;
}

// --- showing

const tone = (name) => (TONES[name]?.startsWith("#") ? TONES[name] : colours()[TONES[name] ?? "ink"]);
const shown = () => Object.keys(NAMES).filter((name) => page.clips[name]);

function lay() {
  $("clips").replaceChildren(...shown().map((name) => {
    const clip = page.clips[name], figure = document.createElement("figure"), canvas = document.createElement("canvas");
    const [wide, high] = clip.size, scale = high < HIGH ? Math.max(1, Math.round(HIGH / high)) : 1;
    Object.assign(canvas, { width: wide * scale, height: high * scale });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${NAMES[name]}, ${clip.frames} frames`);
    canvas.dataset.clip = name;
    const caption = document.createElement("figcaption");
    const swatch = Object.assign(document.createElement("i"), {});
    swatch.style.background = name === "camera" ? "none" : tone(name);
    caption.append(Object.assign(document.createElement("b"), { textContent: NAMES[name] }), swatch);
    figure.append(caption, canvas);
    return figure;
  }));
  $("frame").max = page.clips.truth.frames - 1;
  figures();
  paint();
}

const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));

function figures() {
  const names = shown().filter((name) => name !== "camera");
  $("figures").replaceChildren(...names.map((name) => {
    const clip = page.clips[name], row = document.createElement("tr"), head = document.createElement("td"), swatch = document.createElement("i");
    swatch.style.background = tone(name);
    head.append(swatch, NAMES[name]);
    row.append(head);
    const far = clip.gravity !== null && Math.abs(clip.gravity / page.scene.gravity - 1) > 0.15;
    for (const [text, bad] of [[number(clip.gravity), far], [number(clip.restitution)], [number(clip.galileo)], [number(clip.off)], [clip.valid ? "yes" : "no", !clip.valid]]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text, className: bad ? "bad" : "" }));
    }
    row.dataset.clip = name;
    return row;
  }));
  const { gravity, restitution } = page.scene, camera = page.clips.camera;
  const said = names.concat("camera").map((name) => page.clips[name].said && `${NAMES[name]}: ${page.clips[name].said}`).filter(Boolean);
  $("said").textContent = `Set: g = ${number(gravity)} m/s², restitution ${number(restitution)}; in the camera's picture g = ${number(camera.gravity)}. Red: off by more than 15 %, or no one ball throughout. ${said.join(" ")}`;
}

function paint() {
  const c = colours();
  for (const canvas of $("clips").querySelectorAll("canvas")) {
    const name = canvas.dataset.clip, clip = page.clips[name], pen = canvas.getContext("2d"), [wide, high] = clip.size, scale = canvas.width / wide;
    const at = Math.min(page.at, clip.frames - 1);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(page.pictures[name], (at % clip.columns) * wide, Math.floor(at / clip.columns) * high, wide, high, 0, 0, canvas.width, canvas.height);
    if (!$("marks").checked) continue;
    clip.centre.slice(0, at + 1).forEach((place, t) => {
      if (!place) return;
      pen.beginPath();
      pen.arc(place[0] * scale, place[1] * scale, t === at ? 7 : 2, 0, 2 * Math.PI);
      pen.lineWidth = 2;
      pen.strokeStyle = pen.fillStyle = t === at ? "#ff5d52" : "rgb(255 93 82 / .7)";
      if (t === at) pen.stroke();
      else pen.fill();
    });
  }
  heights(c);
  $("frame").value = page.at;
  const clock = `${(page.at / (page.clips.truth?.fps ?? 10)).toFixed(1)} s`;
  $("clock").textContent = clock;
  $("frame").setAttribute("aria-valuetext", clock);
}

function heights(c) {
  const canvas = $("heights"), ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  Object.assign(canvas, { width: Math.max(1, box.width * ratio), height: Math.max(1, box.height * ratio) });
  const pen = canvas.getContext("2d"), names = shown().filter((name) => name !== "camera"), [left, low] = [34, 26];
  if (!names.length) return;
  pen.scale(ratio, ratio);
  const { frames, fps } = page.clips.truth, top = Math.max(1, ...names.flatMap((name) => page.clips[name].height.filter((v) => v !== null))) * 1.08;
  const x = (t) => left + (t / (frames - 1)) * (box.width - left - 14), y = (v) => box.height - low - (v / top) * (box.height - low - 12);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = c.soft;
  pen.strokeStyle = c.line;
  pen.lineWidth = 1;
  const step = top > 4 ? 2 : top > 2 ? 1 : 0.5;
  for (let v = 0; v < top; v += step) {
    pen.beginPath(); pen.moveTo(left, y(v)); pen.lineTo(box.width - 14, y(v)); pen.stroke();
    pen.fillText(String(v), 12, y(v) + 4);
  }
  for (let s = 0; s <= (frames - 1) / fps; s += 0.5) pen.fillText(`${s.toFixed(1)} s`, x(s * fps) - 10, box.height - 8);
  for (const name of names) {
    const line = page.clips[name].height;
    pen.strokeStyle = pen.fillStyle = tone(name);
    pen.lineWidth = name === "truth" ? 4 : 2;
    pen.beginPath();
    let drawn = false;
    line.forEach((v, t) => {
      if (v === null) drawn = false;
      else { drawn ? pen.lineTo(x(t), y(v)) : pen.moveTo(x(t), y(v)); drawn = true; }
    });
    pen.stroke();
    line.forEach((v, t) => { if (v !== null) { pen.beginPath(); pen.arc(x(t), y(v), name === "truth" ? 3 : 2.5, 0, 7); pen.fill(); } });
  }
  pen.strokeStyle = c.soft;
  pen.lineWidth = 1;
  pen.beginPath(); pen.moveTo(x(page.at), 8); pen.lineTo(x(page.at), box.height - low); pen.stroke();
}

// --- time

let due = 0;
function tick(now) {
  if (!page.running) return;
  requestAnimationFrame(tick);
  if (now < due || !page.clips.truth) return;
  due = now + 1000 / page.clips.truth.fps;
  move(page.at + 1 < page.clips.truth.frames ? page.at + 1 : 0);
}

function move(at) {
  page.at = Math.max(0, Math.min(at, (page.clips.truth?.frames ?? 1) - 1));
  paint();
}

function run(running) {
  page.running = running;
  $("play").querySelector("span").textContent = running ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", running);
  if (running) requestAnimationFrame(tick);
}

$("play").onclick = () => run(!page.running);
$("step").onclick = () => { run(false); move(page.at + 1); };
$("stepBack").onclick = () => { run(false); move(page.at - 1); };
$("frame").oninput = () => { run(false); move(Number($("frame").value)); };
$("marks").onchange = paint;
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(event.target.tagName)) return;
  if (event.key === " ") run(!page.running);
  else if (event.key === "ArrowRight") $("step").click();
  else if (event.key === "ArrowLeft") $("stepBack").click();
  else return;
  event.preventDefault();
});

// --- buttons

$("make").onclick = attempt(make);
$("stop").onclick = attempt(stop);
$("another").onclick = attempt(() => { page.index += 1; return show(); });
$("scenario").onchange = attempt(() => { page.index = 0; return show(); });
$("physics").onchange = attempt(() => show(page.scene.own));
$("run").onchange = attempt(() => { rows(); return show(page.scene.own); });
$("height").onchange = $("bounce").onchange = attempt(() => show(true));
$("hush").onclick = () => notice("");
$("first").onchange = () => { if ($("first").value === "own") $("picture").click(); };
$("picture").onchange = attempt(async () => {
  const [file] = $("picture").files;
  if (!file) return;
  const reader = new FileReader();
  await new Promise((done, failed) => { reader.onload = done; reader.onerror = () => failed(new Error(`${file.name} cannot be read.`)); reader.readAsDataURL(file); });
  page.picture = reader.result;
});
new ResizeObserver(() => page.clips.truth && paint()).observe($("heights"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.clips.truth && lay());

function rows() {
  const has = page.choices.runs.find(({ name }) => name === $("run").value)?.rows ?? [];
  $("rows").replaceChildren(...["lora", "placebo", "base"].filter((row) => has.includes(row)).map((row) => {
    const label = document.createElement("label"), box = Object.assign(document.createElement("input"), { type: "checkbox", value: row, checked: row !== "base" });
    label.append(box, LONG[row]);
    return label;
  }));
  for (const part of $("asked").querySelectorAll("textarea, select, input, #make")) part.disabled = !has.length;
}

attempt(async () => {
  page.choices = await ask("choices");
  const { runs, scenarios, physics, how } = page.choices;
  $("run").replaceChildren(...(runs.length ? runs.map(({ name }) => new Option(name, name)) : [new Option("none", "")]));
  $("scenario").replaceChildren(...scenarios.map((name) => new Option(name.replaceAll("_", " "), name)));
  $("physics").replaceChildren(new Option("none", ""), ...physics.map((name) => new Option(name.replaceAll("_", " "), name)));
  $("scenario").value = "ball_drop";
  $("physics").value = "gravity_0.4";
  $("how").textContent = how;
  rows();
  await show();
})();

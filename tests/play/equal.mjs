// What the exported scripts make of the cases in a file, as JSON, for test_export.py to compare with Python's.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [site, asked] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(site, "web", name)));
const read = (name) => { const data = fs.readFileSync(path.join(site, "web", name)); return data.buffer.slice(data.byteOffset, data.byteOffset + data.length); };
const { Codec } = await load("codec.js"), { engine, Model } = await load("model.js"), { chipmunk, Truth } = await load("truth.js"), { Worlds } = await load("worlds.js");
const { energy, momentum } = await load("figures.js"), { refusal } = await load("scene.js"), { Reader } = await load("reading.js"), { checked } = await load("check.js"), { jsonl, opened } = await load("files.js");
const { scenes, refused, impossible, acts } = JSON.parse(fs.readFileSync(asked));
const text = JSON.parse(fs.readFileSync(path.join(site, "web", "text.json"))), reader = new Reader(text);
const calls = await chipmunk(read("truth.wasm")), model = new Model(await engine(read("think.wasm")), read("weights.bin"), text);

// body -> what its line of a whole frame's answer says
function lines(ids, first, count) {
  const found = new Map();
  for (let at = 0; at < ids.length && ids[at] >= first && ids[at] < first + count;) {
    const long = ids[at + 1] >= text.base && ids[at + 1] < text.base + 73999;
    found.set(ids[at] - first, long ? ids.slice(at + 1, at + 5) : ids[at + 1]);
    at += long ? 5 : 2;
  }
  return found;
}

const told = scenes.map(({ scene, frames, asks, steps, first }) => {
  const codec = new Codec(text, scene), documents = [], next = [], figures = [], answers = [], says = [], reads = [];
  frames.forEach(({ rows, answer }, k) => {
    const listed = codec.records(rows), own = codec.documents(listed);
    documents.push(own.map(({ ids }) => ids));
    next.push(codec.apply(rows, listed, lines(answer, first, scene.bodies.length)));
    figures.push([energy(scene, rows), momentum(scene, rows)]);
    if (!asks.includes(k)) return;
    const said = model.answers(own);
    answers.push(said);
    reads.push(own.map(({ ids }) => reader.prompt(ids)));
    says.push(own.map((document, d) => reader.answer(said[d], model.judged(document, said[d]))));
  });
  const truth = steps ? new Truth(calls, scene, frames[0].rows) : null;
  const run = Array.from({ length: steps }, () => { truth.step(); return truth.rows(); });
  return { documents, next, figures, answers, reads, says, run, file: steps ? jsonl(scene, frames.map(({ rows }) => rows), text.files) : "" };
});

const worlds = new Worlds(calls, acts.scene, model, undefined, text), moments = [];
for (const [name, ...values] of acts.list) {
  if (name === "step") for (let k = 0; k < values[0]; k++) moments.push((worlds.step(), worlds.packed()));
  else worlds[name](...values);
}
const again = told.map(({ file }) => opened(file, "a.jsonl", text.files)); // what it wrote
const unread = ["", "{}", '{"type": "scene_header"}', '{"type": "scene_header", "physworld": {"version": 9}}'].map((file) => { try { opened(file, "b.jsonl", text.files); return ""; } catch (error) { return error.message; } });
const sentence = (scene) => { try { checked(scene, text); return ""; } catch (error) { return error.message; } };
process.stdout.write(JSON.stringify({ told, again, unread, moments, refused: refused.map((scene) => refusal(scene, text)), impossible: impossible.map(sentence) }));

// CPU milliseconds of a token in onnxruntime-web and in think.c: node steps.mjs MODEL.onnx SITE, beside node_modules.
// A document of 45 positions is read, then 60 tokens follow, each in a call of its own. SITE/package.json says "module".
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";
import * as ort from "onnxruntime-web/wasm";

const [graph, site] = process.argv.slice(2), POSITIONS = 45, TOKENS = 60, NO_NAME = 128, HEADS = 4, DEPTH = 6, WIDTH = 32;
const { engine, Model } = await import(pathToFileURL(path.resolve(site, "web", "model.js")));
const read = (name) => { const data = fs.readFileSync(path.join(site, "web", name)); return data.buffer.slice(data.byteOffset, data.byteOffset + data.length); };
const text = JSON.parse(fs.readFileSync(path.join(site, "web", "text.json")));

ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(fs.readFileSync(graph), { executionProviders: ["wasm"] });
const float = (size, ...shape) => new ort.Tensor("float32", new Float32Array(size), shape), whole = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);

// All positions are the word `next`: what a position is made of does not matter for the time.
function feeds(S, past) {
  const T = past.length + S, all = (id) => whole(Array(S).fill(id)), found = {};
  text.sizes.spoken.forEach((name, k) => { found[`record_${name}`] = float(0, 0, 32 * text.sizes.counts[k]); });
  Object.assign(found, { numbers: float(0, 0, 32), order: all(0), word: all(text.word.next), own: all(text.base), partner: all(text.base), slot: all(8) });
  Object.assign(found, { at: float(S, S), names: float(4 * S * T, 1, 4, S * T), mask: float(S * T, 1, 1, S, T), asked: whole([S - 1]) });
  for (let k = 0; k < DEPTH; k++) for (const what of ["key", "value"]) found[`${what}_${k}`] = past.cache?.[`next_${what}_${k}`] ?? float(0, 1, HEADS, 0, WIDTH);
  return found;
}

async function withOnnx() {
  const past = { length: 0, cache: null }, run = async (S) => { past.cache = await session.run(feeds(S, past)); past.length += S; };
  await run(POSITIONS);
  const before = process.cpuUsage();
  for (let k = 0; k < TOKENS; k++) await run(1);
  return process.cpuUsage(before).user / 1000 / TOKENS;
}

const model = new Model(await engine(read("think.wasm")), read("weights.bin"), text);
function withC() {
  const talk = model.begin(), doc = model.opened(talk);
  for (let k = 0; k < POSITIONS; k++) model.read(talk, doc, [text.word.next], 0);
  model.scores(talk, [POSITIONS - 1]);
  const before = process.cpuUsage();
  for (let k = 0; k < TOKENS; k++) { model.read(talk, doc, [text.word.next], 0); model.scores(talk, [0]); }
  return process.cpuUsage(before).user / 1000 / TOKENS;
}

await withOnnx(); withC(); // compiled by then
const rounds = [];
for (let k = 0; k < 7; k++) rounds.push([await withOnnx(), withC()]);
for (const [place, name] of ["onnxruntime-web", "think.c"].entries()) {
  const sorted = rounds.map((round) => round[place]).sort((a, b) => a - b);
  console.log(`${name}: median ${sorted[3].toFixed(2)} ms of CPU a token, ${sorted[0].toFixed(2)} to ${sorted[6].toFixed(2)} in 7 rounds`);
}

// CPU milliseconds of a frame of each scene, as the worker of the exported page computes it; called by page.py.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [site, asked, frames] = process.argv.slice(2), load = (name) => import(pathToFileURL(path.join(site, "web", name)));
const read = (name) => { const data = fs.readFileSync(path.join(site, "web", name)); return data.buffer.slice(data.byteOffset, data.byteOffset + data.length); };
const { engine, Model } = await load("model.js"), { chipmunk } = await load("truth.js"), { Worlds } = await load("worlds.js");
const text = JSON.parse(fs.readFileSync(path.join(site, "web", "text.json"))), scenes = JSON.parse(fs.readFileSync(asked));
const calls = await chipmunk(read("truth.wasm")), model = new Model(await engine(read("think.wasm")), read("weights.bin"), text);

function run(scene, count) {
  const worlds = new Worlds(calls, scene, model, undefined, text);
  for (let k = 0; k < count; k++) { worlds.step(); worlds.packed(); }
}

for (const scene of scenes.slice(0, 5)) run(scene, 60); // compiled by then
console.log(JSON.stringify(scenes.map((scene) => {
  const before = process.cpuUsage();
  run(scene, Number(frames));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / frames;
})));

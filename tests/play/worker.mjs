// The worker of the exported page, with one ball in free fall in the place of Chipmunk: `node worker.mjs FOLDER` prints what
// it answers to the messages on its standard input. FOLDER/web holds its scripts; truth.js is written here.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [folder] = process.argv.slice(2), { scene, limits, messages } = JSON.parse(fs.readFileSync(0, "utf8"));
fs.writeFileSync(path.join(folder, "web", "truth.js"), `
  export const chipmunk = async () => ({});
  export class Truth {
    constructor(_, scene, rows) { this.scene = scene; this.now = structuredClone(rows); }
    step() { const { gravity, dt } = this.scene; for (const row of this.now) { row[0] += dt * row[3]; row[1] += dt * row[4]; row[3] += dt * gravity[0]; row[4] += dt * gravity[1]; } }
    rows() { return structuredClone(this.now); }
    put(rows) { this.now = structuredClone(rows); }
  }
`);
const text = { word: {}, records: {}, outputs: [], scene, limits }, told = [];
globalThis.fetch = async () => ({ ok: true, arrayBuffer: async () => new ArrayBuffer(0), json: async () => text });
globalThis.onmessage = null;
globalThis.postMessage = (message) => told.push(structuredClone(message));
await import(pathToFileURL(path.join(folder, "web", "worker.js")));
for (const data of messages) onmessage({ data });
await new Promise((done) => setTimeout(done, 50));
process.stdout.write(JSON.stringify(told, (_, value) => (value === Infinity ? "endless" : value))); // which JSON would write as null
process.exit(0);

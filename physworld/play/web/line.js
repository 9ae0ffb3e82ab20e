// The page's line to the worker beside it, with the functions that page/line.js has for a server.
import { jsonl, opened as read } from "../web/files.js";
import { film } from "../web/film.js";

export const served = false;
export const forms = ["jsonl", "gif"]; // that can be saved
export const accepts = ".jsonl"; // that can be opened

const from = (name) => new URL(`../${name}`, import.meta.url);

export function connect({ opened, take, closed }) {
  const worker = new Worker(from("web/worker.js"), { type: "module" });
  worker.onmessage = ({ data }) => (data.kind === "ready" ? opened() : take(data));
  worker.onerror = (event) => { event.preventDefault(); closed("The simulator could not be loaded; reload the page to try again."); };
  return { send: (message) => worker.postMessage(message) };
}

const scenes = new Map();
async function json(name) {
  const response = await fetch(from(name)).catch(() => null);
  if (!response?.ok) throw new Error(`${name} cannot be fetched; try again later.`);
  return response.json();
}

export const choices = () => json("scenes/choices.json");

export async function draw(type, difficulty, index) {
  if (!scenes.has(type)) scenes.set(type, await json(`scenes/${type}.json`));
  const some = scenes.get(type)[difficulty];
  return some[index % some.length];
}

export const whole = async (scene) => scene; // the worker checks it

const files = async () => (await json("web/text.json")).files;

export async function save({ as, scene, truth, guess }) {
  if (as === "gif") return film(scene, truth, guess);
  return new Blob([jsonl(scene, truth, await files())], { type: "application/x-ndjson" });
}

export async function open(file) {
  if (file.size > 64 * 2 ** 20) throw new Error("The file is larger than 64 MB; the page takes no larger one.");
  return read(await file.text(), file.name, await files());
}

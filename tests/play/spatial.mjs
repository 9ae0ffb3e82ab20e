// A person on the spatial tab, and a server whose answers take as long as is said: `node spatial.mjs FOLDER CASE`.
import path from "path";
import { pathToFileURL } from "url";
import { $, fire, rest } from "./stand_in.mjs";

const [folder, name] = process.argv.slice(2);
const delays = { choices: 1, scene: 5, check: 80, repair: 5 }, asked = [];
const thing = (id) => ({ id, class: "pad", az_deg: 0, el_deg: 0, dist_m: 2, width: 0.5, gain_db: 0, reverb_send: 0, motion: [] });
const payload = { style: "a", section: "b", max_objects: 4, global: { energy: 0.5 }, rules: [], stems: [{ id: "one", class: "pad" }] };
const ANSWERS = {
  choices: () => ({ classes: ["pad"], formats: [], sections: ["b"], styles: ["a"], rules: [], payload }),
  scene: ({ payload: of }) => ({ scene: { objects: of.stems.map(({ id }) => thing(id)) } }),
  check: ({ scene }) => ({ scene, rules: [{ tag: `at ${scene.objects[0].az_deg}`, status: "pass", reasons: [] }] }),
  repair: ({ scene }) => ({ scene: { objects: scene.objects.map((one) => ({ ...one, az_deg: 0 })) }, edits: ["moved"] }),
};
globalThis.fetch = async (address, { body } = {}) => {
  const what = address.split("/").pop(), answer = structuredClone(ANSWERS[what](body && JSON.parse(body)));
  asked.push(what);
  await rest(delays[what]);
  return { ok: true, json: async () => ({ rules: [], violations: [], ...answer }) };
};
await import(pathToFileURL(path.join(folder, "page", "spatial.js")));
await rest(60);
asked.length = 0;
const page = globalThis.physworld, turn = () => $("sphere").fire("keydown", { key: "ArrowLeft" });
const azimuth = () => page.scene.objects[0].az_deg, verdict = () => $("kept").children[0]?.children[0].textContent ?? "";
const stems = (id) => $("stems").replaceChildren({ stem: { id, class: "pad" }, children: [{ value: id }, { value: "pad" }] });
const ids = () => [page.payload.stems[0].id, page.scene.objects[0].id];

const CASES = {
  // A judgement of the scene before the last turn comes after it.
  async turns() {
    turn(); await rest(100); turn();
    const now = azimuth();
    await rest(350);
    return { now, then: azimuth(), verdict: verdict() };
  },
  async drag() { // for a second, every 10 ms
    const seen = new Set();
    for (let k = 0; k < 100; k++) { turn(); await rest(8); seen.add(verdict()); }
    const during = seen.size, count = asked.length;
    await rest(350);
    return { during, count, last: verdict() === `✓ at ${azimuth()}` };
  },
  async write() { // while the old scene is judged
    delays.scene = 100; delays.check = 200;
    turn(); await rest(80);
    stems("other");
    await $("write").onclick();
    const now = ids();
    await rest(400);
    return { now, then: ids() };
  },
  async twice() { // the last of two that are written, though its answer comes first
    delays.scene = 100;
    stems("first"); const one = $("write").onclick();
    await rest(20);
    delays.scene = 5; stems("second");
    await Promise.all([one, $("write").onclick()]);
    return ids();
  },
  async mend() {
    turn(); await $("mend").onclick(); await rest(250);
    const mended = [azimuth(), $("edits").children.length];
    delays.repair = 60;
    const done = $("mend").onclick();
    await rest(20); turn(); await done;
    return { mended, turned: azimuth(), said: $("notice").querySelector("p").textContent };
  },
};
process.stdout.write(JSON.stringify(await CASES[name]()));
process.exit(0);

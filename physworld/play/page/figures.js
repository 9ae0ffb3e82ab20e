// Numbers and charts of a course: error, energy, momentum. What is not finite comes as null, and shows as a dash.
import { chart } from "./view.js";

export const METRE = 100; // px
const $ = (id) => document.getElementById(id);

export const metres = (px) => (px === null ? NaN : px / METRE);
export const number = (value, unit) => (Number.isFinite(value) ? `${Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}` : "–");

export function charts({ frames, at }, c) {
  const frame = frames[at];
  const line = (get) => frames.map(get);
  const gone = (v) => v ?? NaN;
  chart($("cRmse"), [{ values: line((f) => metres(f.rmse)), colour: c.error, width: 1.8 }], at, c);
  for (const [id, key] of [["cEnergy", "energy"], ["cMomentum", "momentum"]]) {
    chart($(id), [{ values: line((f) => gone(f[key][0])), colour: c.wall, width: 3 }, { values: line((f) => gone(f[key][1])), colour: c.accent, width: 1.6 }], at, c);
  }
  const out = (name) => document.querySelector(`[data-out=${name}]`);
  out("rmse").textContent = frame.guess ? `${number(metres(frame.rmse), "m")}, root mean square` : "no model";
  out("energy").textContent = `${number(frame.energy[0], "J")} true · ${number(gone(frame.energy[1]), "J")} model`;
  out("momentum").textContent = `${number(frame.momentum[0], "kg·m/s")} true · ${number(gone(frame.momentum[1]), "")} model`;
}

// A course as a GIF, drawn as the page draws it: the simulator, and beside it the model and both, where there is one.
import { colours, View } from "../page/view.js";
import { gif } from "./gif.js";

const EVERY = 2, SIZE = [300, 225], ALONE = [400, 300]; // px of a panel

// frames: rows of x, y, angle, vx, vy, spin of each; guess: the same, or null.
export async function film(scene, truth, guess) {
  const [w, h] = guess ? SIZE : ALONE, panels = guess ? 3 : 1, c = colours();
  const whole = document.createElement("canvas"), one = document.createElement("canvas");
  Object.assign(whole, { width: w * panels, height: h });
  const pen = whole.getContext("2d", { willReadFrequently: true }), view = new View(one, [w, h]);
  const panel = (number, rows, draw) => {
    view.begin(scene);
    view.background(scene, c);
    draw(rows);
    pen.drawImage(one, number * w, 0);
  };
  const solid = (rows) => { view.bodies(scene, rows, c); view.joints(scene, rows, c); };
  const picture = (k) => {
    const mine = truth[k * EVERY], other = guess?.[k * EVERY];
    pen.fillStyle = c.paper;
    pen.fillRect(0, 0, whole.width, h);
    panel(0, mine, solid);
    if (other) {
      panel(1, other, solid);
      panel(2, mine, () => { view.bodies(scene, mine, c, "ghost"); view.bodies(scene, other, c, "line"); view.errors(mine, other, c); });
      pen.fillStyle = c.line;
      for (const x of [w, 2 * w]) pen.fillRect(x, 0, 1, h);
    }
    return pen.getImageData(0, 0, whole.width, h).data;
  };
  const rest = () => new Promise((done) => setTimeout(done));
  return new Blob(await gif(Math.ceil(truth.length / EVERY), [whole.width, h], scene.dt * EVERY, picture, rest), { type: "image/gif" });
}

// A person's hands on the two worlds: bodies that are dragged and thrown, and what is drawn.
import { TOOLS } from "./tools.js";
import { reach } from "./view.js";

// edit(change) begins the scene that change makes of the one that is shown; changed() asks for a new picture.
export function hands({ page, views, send, edit, changed }) {
  function bodyAt(rows, [x, y], view) {
    let best = -1, nearest = Infinity;
    page.scene.bodies.forEach((body, k) => {
      const d = Math.hypot(rows[k][0] - x, rows[k][1] - y);
      if (d < reach(body) + 8 * view.px && d < nearest) { best = k; nearest = d; }
    });
    return best;
  }

  function hold(drag) {
    drag.held = true;
    send({ do: "hold", body: drag.body, x: drag.to[0], y: drag.to[1] });
  }

  // While the world stands a body is moved on a copy of the frame: who does not let go of it here has moved nothing.
  function lift(drag) {
    const { at, frames } = page;
    if (frames[at] !== drag.copy) {
      putBack(drag);
      const rows = (of) => of && of.map((row) => [...row]);
      drag.whole = frames[at];
      drag.copy = frames[at] = { ...drag.whole, truth: rows(drag.whole.truth), guess: rows(drag.whole.guess) };
    }
    for (const of of [drag.copy.truth, drag.copy.guess]) if (of) [of[drag.body][0], of[drag.body][1]] = drag.to;
  }

  function putBack(drag) {
    const at = drag.copy ? page.frames.indexOf(drag.copy) : -1;
    if (at >= 0) page.frames[at] = drag.whole;
    drag.copy = null;
  }

  for (const name of ["truth", "guess"]) {
    const canvas = document.getElementById(name), view = views[name];
    const rows = () => page.frames[page.at]?.[name] ?? page.frames[page.at]?.truth;
    canvas.addEventListener("pointerdown", (event) => {
      if (!rows()) return;
      const from = view.world(event), body = bodyAt(rows(), from, view);
      if (body >= 0) page.chosen = body;
      page.drag = { from, to: from, body, path: [[from, performance.now()]], held: false, whole: null, copy: null };
      canvas.setPointerCapture(event.pointerId);
      if (page.tool === "grab" && body >= 0 && page.running) hold(page.drag);
      changed();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!page.drag) return;
      const { drag } = page;
      drag.to = view.world(event);
      const now = performance.now(), lately = drag.path.filter(([, t]) => now - t < 120);
      drag.path = [...(lately.length ? lately : drag.path.slice(-1)), [drag.to, now]]; // a slow machine throws, too
      if (page.tool === "grab" && drag.body >= 0) {
        if (page.running) hold(drag); else lift(drag);
      }
      changed();
    });
    const up = (event) => {
      const { drag } = page;
      if (!drag) return;
      page.drag = null; changed();
      if (drag.held) send({ do: "release" }); // also where the world was paused meanwhile
      if (event.type === "pointercancel") { putBack(drag); return; }
      const end = bodyAt(rows(), drag.to, view);
      const tool = TOOLS[page.tool];
      if (tool.draw) { edit((scene) => tool.draw(scene, drag.from, drag.to, drag.body, end)); return; }
      if (drag.body < 0) return;
      if (page.running) { putBack(drag); return; }
      if (!drag.copy) return;
      const [[then, t0]] = drag.path, t = Math.max(0.02, (performance.now() - t0) / 1000);
      edit((scene) => { Object.assign(scene.bodies[drag.body], { position: drag.to, velocity: [(drag.to[0] - then[0]) / t, (drag.to[1] - then[1]) / t] }); });
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
  }
}

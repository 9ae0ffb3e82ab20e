// Draws one state of a scene on a canvas. World: px, y up. Rows of a state: x, y, angle, vx, vy, spin.

// Okabe & Ito's colours, as in the package's other pictures.
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#b2a01e"];
const EDGES = PALETTE.map((colour) => `color-mix(in srgb, ${colour} 55%, black)`);
const X = 0, Y = 1, ANGLE = 2, FADES = 6; // strengths of a trail

let read = null; // reading styles makes the browser compute them, so they are read once
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { read = null; });

export function colours() {
  return (read ??= fresh());
}

function fresh() {
  const style = getComputedStyle(document.documentElement);
  const take = (name) => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(["paper", "ink", "soft", "line", "wall", "field", "ghost", "error", "accent"].map((n) => [n, take(n)]));
}

export class View {
  // size: [w, h] px of a canvas that is not shown; else it is as large as it is shown.
  constructor(canvas, size = null) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.size = size;
  }

  shown() {
    if (this.size) return [1, ...this.size];
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    return [ratio, Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
  }

  // An empty canvas with world coordinates.
  begin(scene) {
    const [ratio, wide, high] = this.shown();
    if (this.canvas.width !== wide || this.canvas.height !== high) { this.canvas.width = wide; this.canvas.height = high; }
    const [w, h] = scene.canvas;
    this.scale = Math.min(wide / w, high / h);
    this.left = (wide - this.scale * w) / 2;
    this.bottom = (high + this.scale * h) / 2;
    this.ratio = ratio;
    this.pen.setTransform(1, 0, 0, 1, 0, 0);
    this.pen.clearRect(0, 0, wide, high);
    this.pen.setTransform(this.scale, 0, 0, -this.scale, this.left, this.bottom);
    this.px = ratio / this.scale; // a CSS pixel in world px
    this.pen.lineJoin = this.pen.lineCap = "round";
    return this;
  }

  world(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * this.ratio, y = (event.clientY - box.top) * this.ratio;
    return [(x - this.left) / this.scale, (this.bottom - y) / this.scale];
  }

  // What does not move, painted once and copied from then on.
  background(scene, c) {
    const { canvas, pen } = this, same = this.still?.scene === scene && this.still.c === c && this.still.width === canvas.width && this.still.height === canvas.height;
    if (!same) {
      const picture = this.still?.picture ?? document.createElement("canvas");
      Object.assign(picture, { width: canvas.width, height: canvas.height });
      this.still = { scene, c, picture, width: canvas.width, height: canvas.height };
      this.pen = picture.getContext("2d");
      this.pen.setTransform(pen.getTransform());
      this.pen.lineJoin = this.pen.lineCap = "round";
      this.unmoved(scene, c);
      this.pen = pen;
    }
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.still.picture, 0, 0);
    pen.restore();
  }

  unmoved(scene, c) {
    const { pen, px } = this, [w, h] = scene.canvas;
    pen.lineWidth = px; pen.strokeStyle = c.field; pen.globalAlpha = 0.45;
    pen.beginPath();
    for (let x = 100; x < w; x += 100) { pen.moveTo(x, 0); pen.lineTo(x, h); }
    for (let y = 100; y < h; y += 100) { pen.moveTo(0, y); pen.lineTo(w, y); }
    pen.stroke();
    pen.globalAlpha = 1;
    for (const field of scene.fields) {
      if (field.type === "attractor") {
        for (const r of [18, 36, 54]) this.disc(field.center, r, null, c.field, 1.5);
        this.disc(field.center, 6, c.ink);
      } else if (field.type === "wind") {
        const [vx, vy] = field.velocity, speed = Math.hypot(vx, vy);
        for (let x = 100; x < w; x += 200) for (let y = 100; y < h; y += 133) {
          if (speed < 1) { this.disc([x, y], 2, c.field); continue; }
          this.arrow([x, y], [x + vx / 10, y + vy / 10], c.field);
        }
      }
    }
    for (const part of scene.static) {
      if (part.type === "peg") { this.disc(part.center, part.radius, c.wall); continue; }
      this.line([part.start, part.end], c.wall, Math.max(2 * part.radius, 2 * px), true);
      if (part.surface_speed) {
        const [ax, ay] = part.start, [bx, by] = part.end, long = Math.hypot(bx - ax, by - ay), sign = Math.sign(part.surface_speed);
        for (let s = 20; s < long; s += 40) {
          const at = [ax + (bx - ax) * s / long, ay + (by - ay) * s / long], u = [(bx - ax) / long * sign, (by - ay) / long * sign];
          this.head([at[0] + 4 * u[0], at[1] + 4 * u[1]], u, 6, c.paper);
        }
      }
    }
  }

  bodies(scene, rows, c, how = "solid") {
    scene.bodies.forEach((body, k) => {
      const row = rows[k];
      if (!row || !row.every(Number.isFinite)) return;
      const { pen } = this;
      pen.save();
      pen.translate(row[X], row[Y]);
      pen.rotate(row[ANGLE]);
      const colour = PALETTE[k % PALETTE.length];
      pen.beginPath();
      outline(pen, body);
      pen.lineWidth = (how === "line" ? 2 : body.kind === "kinematic" ? 3 : 1.2) * this.px;
      if (how === "ghost") { pen.fillStyle = c.ghost; pen.globalAlpha = 0.6; pen.fill(); }
      else if (how === "line") { pen.strokeStyle = c.accent; pen.stroke(); }
      else {
        pen.fillStyle = colour;
        if (!body.sensor) { pen.globalAlpha = 0.88; pen.fill(); pen.globalAlpha = 1; }
        pen.strokeStyle = EDGES[k % EDGES.length];
        pen.stroke();
        pen.beginPath(); // where the body's own x axis points
        pen.moveTo(0, 0); pen.lineTo(0.78 * reachX(body), 0);
        pen.strokeStyle = "#fff"; pen.globalAlpha = 0.85; pen.lineWidth = 1.6 * this.px; pen.stroke();
      }
      pen.restore();
    });
  }

  joints(scene, rows, c) {
    for (const joint of scene.joints) {
      const at = (body, anchor) => {
        if (body < 0) return anchor;
        const [x, y, a] = rows[body], [u, v] = anchor;
        return [x + Math.cos(a) * u - Math.sin(a) * v, y + Math.sin(a) * u + Math.cos(a) * v];
      };
      const centre = rows[joint.body_b];
      if (joint.anchor_a === undefined) {
        if (joint.type === "motor") this.motor(centre, joint.spin, c.ink);
        else if (joint.groove_start) this.line([at(joint.body_a, joint.groove_start), at(joint.body_a, joint.groove_end)], c.ink, 1.2 * this.px);
        continue;
      }
      const a = at(joint.body_a, joint.anchor_a), b = at(joint.body_b, joint.anchor_b);
      if (joint.type === "spring") this.line(coil(a, b), c.ink, 1.3 * this.px);
      else if (joint.type === "rope") this.line(hanging(a, b, joint.length), c.ink, 1.3 * this.px);
      else if (joint.type !== "pivot") this.line([a, b], c.ink, 1.5 * this.px);
      this.disc(a, 2.6 * this.px, c.ink);
      this.disc(b, 2.6 * this.px, joint.type === "pivot" ? c.paper : c.ink, c.ink, 1.2);
    }
  }

  // One stroke for each colour and strength: bodies times frames of them would be what a frame is waited for.
  trail(paths) {
    const { pen } = this;
    pen.lineWidth = 2 * this.px;
    for (let colour = 0; colour < PALETTE.length; colour++) {
      pen.strokeStyle = PALETTE[colour];
      for (let fade = 0; fade < FADES; fade++) {
        pen.globalAlpha = 0.1 + 0.5 * fade / FADES;
        pen.beginPath();
        for (let k = colour; k < paths.length; k += PALETTE.length) {
          const path = paths[k], first = Math.floor(fade / FADES * (path.length - 1)), last = Math.floor((fade + 1) / FADES * (path.length - 1));
          if (last <= first) continue;
          pen.moveTo(path[first][X], path[first][Y]);
          for (let t = first + 1; t <= last; t++) pen.lineTo(path[t][X], path[t][Y]);
        }
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
  }

  errors(truth, guess, c) {
    truth.forEach((row, k) => {
      if (Math.hypot(row[X] - guess[k][X], row[Y] - guess[k][Y]) > 2) this.line([[row[X], row[Y]], [guess[k][X], guess[k][Y]]], c.error, 2 * this.px);
    });
  }

  ring(scene, rows, k, c) {
    if (!rows[k]) return;
    this.pen.setLineDash([4 * this.px, 4 * this.px]);
    this.disc([rows[k][X], rows[k][Y]], reach(scene.bodies[k]) + 5 * this.px, null, c.ink, 1.5);
    this.pen.setLineDash([]);
  }

  disc([x, y], radius, fill, stroke, width = 1) {
    const { pen } = this;
    pen.beginPath(); pen.arc(x, y, radius, 0, 2 * Math.PI);
    if (fill) { pen.fillStyle = fill; pen.fill(); }
    if (stroke) { pen.strokeStyle = stroke; pen.lineWidth = width * this.px; pen.stroke(); }
  }

  line(points, colour, width) {
    const { pen } = this;
    pen.beginPath(); pen.moveTo(...points[0]);
    for (const point of points.slice(1)) pen.lineTo(...point);
    pen.strokeStyle = colour; pen.lineWidth = width; pen.stroke();
  }

  head(tip, [ux, uy], size, colour) {
    const side = (s) => [tip[0] - size * ux - 0.7 * s * size * uy, tip[1] - size * uy + 0.7 * s * size * ux];
    this.line([side(1), tip, side(-1)], colour, 1.6 * this.px);
  }

  arrow(tail, tip, colour) {
    const long = Math.hypot(tip[0] - tail[0], tip[1] - tail[1]) || 1;
    this.line([tail, tip], colour, 1.8 * this.px);
    this.head(tip, [(tip[0] - tail[0]) / long, (tip[1] - tail[1]) / long], 9, colour);
  }

  motor([x, y], spin, colour) {
    const { pen } = this, r = 12, end = Math.sign(spin) * 1.5 * Math.PI;
    pen.beginPath(); pen.arc(x, y, r, 0, end, spin < 0);
    pen.strokeStyle = colour; pen.lineWidth = 1.4 * this.px; pen.stroke();
    this.head([x + r * Math.cos(end), y + r * Math.sin(end)], [-Math.sin(end) * Math.sign(spin), Math.cos(end) * Math.sign(spin)], 6, colour);
  }
}

function outline(pen, body) {
  const [a, b] = body.size ?? [];
  if (body.shape === "circle") pen.arc(0, 0, a, 0, 2 * Math.PI);
  else if (body.shape === "rect") pen.rect(-a / 2, -b / 2, a, b);
  else if (body.shape === "polygon") { body.vertices.forEach((p, i) => (i ? pen.lineTo(...p) : pen.moveTo(...p))); pen.closePath(); }
  else for (const part of body.parts) {
    const [x, y] = part.at ?? [0, 0], turn = part.angle ?? 0, cos = Math.cos(turn), sin = Math.sin(turn);
    if (part.shape === "circle") { pen.moveTo(x + part.size[0], y); pen.arc(x, y, part.size[0], 0, 2 * Math.PI); continue; }
    const [w, h] = part.size ?? [];
    const corners = part.shape === "rect" ? [[-w / 2, -h / 2], [w / 2, -h / 2], [w / 2, h / 2], [-w / 2, h / 2]] : part.vertices;
    corners.map(([u, v]) => [x + cos * u - sin * v, y + sin * u + cos * v]).forEach((p, i) => (i ? pen.lineTo(...p) : pen.moveTo(...p)));
    pen.closePath();
  }
}

const reachX = (body) => (body.shape === "circle" ? body.size[0] : body.shape === "rect" ? body.size[0] / 2 : reach(body) / 2);

// Radius of a circle about the centre that holds the body, px.
export function reach(body) {
  if (body.shape === "circle") return body.size[0];
  if (body.shape === "rect") return Math.hypot(...body.size) / 2;
  if (body.shape === "polygon") return Math.max(...body.vertices.map((p) => Math.hypot(...p)));
  return Math.max(...body.parts.map((p) => Math.hypot(...(p.at ?? [0, 0])) + (p.size?.length ? Math.hypot(...p.size) / (p.shape === "rect" ? 2 : 1) : Math.max(...(p.vertices ?? [[0, 0]]).map((v) => Math.hypot(...v))))));
}

function coil(a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]], long = Math.hypot(dx, dy) || 1, teeth = Math.min(7, Math.max(2, Math.floor(long / 9)));
  const points = [a, [a[0] + 0.1 * dx, a[1] + 0.1 * dy]], side = Math.min(6, long / 8);
  for (let k = 0; k < 2 * teeth; k++) {
    const s = 0.15 + 0.7 * k / (2 * teeth - 1), off = (k % 2 ? -1 : 1) * side / long;
    points.push([a[0] + s * dx - off * dy, a[1] + s * dy + off * dx]);
  }
  return [...points, [a[0] + 0.9 * dx, a[1] + 0.9 * dy], b];
}

function hanging(a, b, length) {
  const far = Math.hypot(b[0] - a[0], b[1] - a[1]);
  if (length <= far) return [a, b];
  const sag = Math.sqrt(3 / 8 * Math.max(far, length / 2) * (length - far));
  return Array.from({ length: 13 }, (_, k) => [a[0] + (b[0] - a[0]) * k / 12, a[1] + (b[1] - a[1]) * k / 12 - 4 * sag * (k / 12) * (1 - k / 12)]);
}

// A strip of up to two lines over time; `at` is the frame that is shown.
export function chart(canvas, series, at, c) {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, box.width * ratio); canvas.height = Math.max(1, box.height * ratio); // and empties it
  const pen = canvas.getContext("2d"), values = series.flatMap((s) => s.values).filter(Number.isFinite);
  pen.scale(ratio, ratio);
  const count = Math.max(60, ...series.map((s) => s.values.length)), pad = 5;
  pen.strokeStyle = c.line; pen.lineWidth = 1;
  pen.beginPath(); pen.moveTo(0, box.height - 0.5); pen.lineTo(box.width, box.height - 0.5); pen.stroke();
  if (!values.length) return;
  let low = Math.min(...values), high = Math.max(...values);
  const room = Math.max(high - low, 0.08 * Math.max(Math.abs(low), Math.abs(high)), 1e-6);
  low -= room * 0.1; high += room * 0.1;
  const x = (t) => t / (count - 1) * box.width, y = (v) => box.height - pad - (v - low) / (high - low) * (box.height - 2 * pad);
  for (const { values: line, colour, width } of series) {
    pen.beginPath(); pen.strokeStyle = colour; pen.lineWidth = width; pen.lineJoin = "round";
    let drawn = false;
    line.forEach((v, t) => { if (!Number.isFinite(v)) { drawn = false; return; } drawn ? pen.lineTo(x(t), y(v)) : pen.moveTo(x(t), y(v)); drawn = true; });
    pen.stroke();
  }
  pen.strokeStyle = c.soft; pen.globalAlpha = 0.5; pen.lineWidth = 1;
  pen.beginPath(); pen.moveTo(x(at), 0); pen.lineTo(x(at), box.height); pen.stroke();
}

// A scene on a sphere around the listener: azimuth is positive to the left, 0 in front, elevation up.
const RINGS = [1, 2, 4, 8]; // m
const FARTHEST = 8;
const HUES = [205, 35, 275, 130, 330, 180];
const rad = Math.PI / 180;

/** Metres -> share of the radius, logarithmic so that near things do not crowd. */
export const share = (metres) => Math.log1p(Math.min(metres, FARTHEST)) / Math.log1p(FARTHEST);

/** (right, up, front) of a pose, of length 1. */
export function direction(az, el) {
  const [a, e] = [az * rad, el * rad];
  return [-Math.cos(e) * Math.sin(a), Math.sin(e), Math.cos(e) * Math.cos(a)];
}

/** [azimuth, elevation] in whole degrees, kept within what a scene may hold. */
export function angles([x, y, z]) {
  const el = Math.asin(Math.max(-1, Math.min(1, y))) / rad;
  const az = Math.atan2(-x, z) / rad;
  return [Math.round(az), Math.round(Math.max(-45, Math.min(90, el)))];
}

export class View {
  constructor() {
    this.home();
  }

  /** From behind and a little above: front is up the screen. */
  home() {
    [this.yaw, this.pitch] = [0, 35];
  }

  /** (x right, y down, depth towards the eye) of (right, up, front); the eye looks from behind. */
  seen([x, y, z]) {
    const [c, s, cp, sp] = [Math.cos(this.yaw * rad), Math.sin(this.yaw * rad), Math.cos(this.pitch * rad), Math.sin(this.pitch * rad)];
    const [xr, zr] = [c * x + s * z, -s * x + c * z];
    return [xr, -(cp * y + sp * zr), sp * y - cp * zr];
  }

  /** The direction under a point of the unit disc; of the two, the one on the side (near or far) that is asked for. */
  under(sx, sy, near) {
    const length = Math.hypot(sx, sy);
    if (length > 1) [sx, sy] = [sx / length, sy / length];
    const depth = Math.sqrt(Math.max(0, 1 - sx * sx - sy * sy)) * (near ? 1 : -1);
    const [cp, sp] = [Math.cos(this.pitch * rad), Math.sin(this.pitch * rad)];
    const [y, zr] = [-sy * cp + depth * sp, -sy * sp - depth * cp];
    const [c, s] = [Math.cos(this.yaw * rad), Math.sin(this.yaw * rad)];
    return [c * sx - s * zr, y, s * sx + c * zr];
  }
}

/** Where an object is in its section: its pose, or between keyframes. */
export function poseAt(thing, t) {
  const keys = thing.motion;
  if (!keys.length) return [thing.az_deg, thing.el_deg, thing.dist_m];
  let before = keys[0];
  for (const key of keys) {
    if (key.t >= t) {
      const part = key.t > before.t ? (t - before.t) / (key.t - before.t) : 1;
      const turn = ((key.az_deg - before.az_deg + 540) % 360) - 180;
      const between = (name) => before[name] + Math.max(0, part) * (key[name] - before[name]);
      return [before.az_deg + Math.max(0, part) * turn, between("el_deg"), between("dist_m")];
    }
    before = key;
  }
  return [before.az_deg, before.el_deg, before.dist_m];
}

const LINE = 13; // px between two names

/** Paint the scene; returns the discs [{x, y, r, n}] for the mouse, in CSS px. */
export function paint(canvas, view, scene, { chosen, broken, t, classes }) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const [cx, cy, radius] = [width / 2, height / 2, 0.44 * Math.min(width, height)];
  const at = (place, reach = 1) => {
    const [x, y, depth] = view.seen(place);
    return [cx + radius * reach * x, cy + radius * reach * y, depth];
  };
  const curve = (places, reach) => {
    pen.beginPath();
    places.forEach((place, k) => pen[k ? "lineTo" : "moveTo"](...at(place, reach).slice(0, 2)));
    pen.stroke();
  };
  const around = Array.from({ length: 73 }, (_, k) => k * 5);
  pen.lineWidth = 1;
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--soft");
  pen.font = "11px system-ui, sans-serif";
  let spoken = 0; // px to where the last distance is written
  for (const ring of RINGS) {
    curve(around.map((az) => direction(az, 0)), share(ring));
    const [x, y] = at(direction(-90, 0), share(ring)); // below the line to the right, whose name stands on it
    if (radius * share(ring) > spoken) { pen.fillText(`${ring} m`, x + 3, y + 14); spoken = radius * share(ring) + 30; }
  }
  for (const az of [0, 90]) curve(around.map((turn) => direction(az, turn)), 1);
  for (const [name, az] of [["front", 0], ["left", 90], ["back", 180], ["right", -90]]) {
    const [x, y] = at(direction(az, 0), 1.07);
    pen.textAlign = "center";
    pen.fillText(name, x, y + 4);
  }
  pen.fillStyle = colour("--ink");
  pen.beginPath();
  pen.arc(cx, cy, 6, 0, 7);
  pen.fill();
  const discs = scene.objects.map((thing, n) => {
    const [az, el, dist] = poseAt(thing, t);
    const [x, y, depth] = at(direction(az, el), share(dist));
    return { x, y, depth, n, r: 7 + 14 * thing.width, thing, az, el, dist };
  });
  pen.textAlign = "left";
  for (const disc of [...discs].sort((a, b) => a.depth - b.depth)) {
    const { thing, n } = disc;
    const wrong = broken.has(n);
    const hue = HUES[classes.indexOf(thing.class) % HUES.length];
    const ink = wrong ? colour("--error") : `hsl(${hue} 60% 45%)`;
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    if (thing.motion.length) {
      const steps = Array.from({ length: 41 }, (_, k) => poseAt(thing, k / 40));
      pen.beginPath();
      steps.forEach(([az, el, dist], k) => pen[k ? "lineTo" : "moveTo"](...at(direction(az, el), share(dist)).slice(0, 2)));
      pen.stroke();
    }
    pen.setLineDash([2, 3]); // down to the plane of the ears, so that height can be read
    pen.beginPath();
    pen.moveTo(disc.x, disc.y);
    const flat = share(disc.dist) * Math.cos(disc.el * rad);
    pen.lineTo(...at(direction(disc.az, 0), flat).slice(0, 2));
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(disc.x, disc.y, disc.r, 0, 7);
    pen.fillStyle = wrong ? ink : `hsl(${hue} 60% 55% / .45)`;
    pen.fill();
    pen.lineWidth = n === chosen ? 3 : 1.5;
    pen.strokeStyle = n === chosen ? colour("--ink") : ink;
    pen.stroke();
  }
  // Names, the nearest object's first; one that would stand on another goes to the next line.
  const taken = [];
  pen.fillStyle = colour("--ink");
  for (const { x, y, r, n, thing } of [...discs].sort((a, b) => b.depth - a.depth)) {
    pen.font = `${n === chosen ? 600 : 400} 12px system-ui, sans-serif`;
    const left = x + r + 4, right = left + pen.measureText(thing.id).width;
    let line = y + 4;
    while (taken.some((other) => left < other.right && right > other.left && Math.abs(line - other.line) < LINE)) line += LINE / 2;
    taken.push({ left, right, line });
    pen.fillText(thing.id, left, line);
  }
  return discs;
}

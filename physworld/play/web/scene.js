// What follows from a scene's numbers: moments of inertia, sizes, what a text has no words for.
// As physworld/types/bodies.py, shapes.py and features.py.
const cross = (a, b) => a[0] * b[1] - a[1] * b[0];
const edges = (corners) => corners.map((corner, k) => [corner, corners[(k + 1) % corners.length]]);
const sum = (values) => values.reduce((total, value) => total + value, 0);

export const area = (corners) => sum(edges(corners).map(([a, b]) => cross(a, b))) / 2;

function gyrationSquared(corners) {
  const weights = edges(corners).map(([a, b]) => [cross(a, b), a, b]);
  const dots = weights.map(([w, a, b]) => w * (a[0] * a[0] + a[1] * a[1] + a[0] * b[0] + a[1] * b[1] + b[0] * b[0] + b[1] * b[1]));
  return sum(dots) / (6 * sum(weights.map(([w]) => w)));
}

// Corners of a part of a compound body, in the body's frame.
export function cornersOf(part) {
  const [w, h] = part.size ?? [], [x, y] = part.at ?? [0, 0], cos = Math.cos(part.angle ?? 0), sin = Math.sin(part.angle ?? 0);
  const own = part.shape === "rect" ? [[-w / 2, -h / 2], [w / 2, -h / 2], [w / 2, h / 2], [-w / 2, h / 2]] : part.vertices;
  return own.map(([u, v]) => [x + cos * u - sin * v, y + sin * u + cos * v]);
}

// px; summed from the first corner on, so that a shape far from the origin loses nothing.
function centroid(corners) {
  const [[x, y]] = corners, weights = edges(corners.map(([a, b]) => [a - x, b - y])).map(([a, b]) => [cross(a, b), a, b]);
  const total = 3 * sum(weights.map(([w]) => w));
  return [0, 1].map((axis) => corners[0][axis] + sum(weights.map(([w, a, b]) => w * (a[axis] + b[axis]))) / total);
}

// Centre of mass of a polygon or a compound body in its own frame, px.
export function centre(body) {
  if (body.shape === "polygon") return centroid(body.vertices);
  const weights = body.parts.map((part) => (part.density ?? 1) * (part.shape === "circle" ? Math.PI * (part.size[0] * part.size[0]) : area(cornersOf(part))));
  const places = body.parts.map((part) => (part.shape === "circle" ? part.at ?? [0, 0] : centroid(cornersOf(part))));
  return [0, 1].map((axis) => sum(places.map((place, k) => weights[k] * place[axis])) / sum(weights));
}

// kg·px²
export function moment(body) {
  const { shape, mass, size } = body;
  if (shape === "circle") return mass * (size[0] * size[0]) / 2;
  if (shape === "rect") return mass * (size[0] * size[0] + size[1] * size[1]) / 12;
  if (shape === "polygon") return mass * gyrationSquared(body.vertices);
  const parts = body.parts.map((part) => {
    const at = part.at ?? [0, 0], density = part.density ?? 1;
    if (part.shape === "circle") return [density * Math.PI * (part.size[0] * part.size[0]), part.size[0] * part.size[0] / 2 + at[0] * at[0] + at[1] * at[1]];
    const corners = cornersOf(part);
    return [density * area(corners), gyrationSquared(corners)];
  });
  return mass * sum(parts.map(([weight, square]) => weight * square)) / sum(parts.map(([weight]) => weight));
}

export const gyration = (body) => Math.sqrt(moment(body) / body.mass);

// Radius of the circle about the centre that holds the body, px.
export function reach(body) {
  const furthest = (corners) => Math.max(...corners.map(([x, y]) => Math.hypot(x, y)));
  if (body.shape === "circle") return body.size[0];
  if (body.shape === "rect") return Math.hypot(...body.size) / 2;
  if (body.shape === "polygon") return furthest(body.vertices);
  return Math.max(...body.parts.map((part) => (part.shape === "circle" ? Math.hypot(...(part.at ?? [0, 0])) + part.size[0] : furthest(cornersOf(part)))));
}

export const isDriven = (body) => body.kind === "kinematic";

// Why island text cannot hold this scene, without a full stop, or "".
export function refusal(scene, text) {
  const found = new Set(), open = (filter) => !filter || (filter.group === 0 && filter.categories === 4294967295 && filter.mask === 4294967295);
  for (const body of scene.bodies) {
    if (body.shape === "polygon") found.add("a polygon");
    if (body.shape === "compound") found.add("a compound body");
    if (isDriven(body)) found.add("a kinematic body");
    if (body.sensor) found.add("a sensor");
    if (!open(body.filter)) found.add("a collision filter");
  }
  for (const part of scene.static) {
    if (!open(part.filter)) found.add("a collision filter");
    if (part.type === "peg") continue;
    if (part.one_way) found.add("a one-way wall");
    if (part.start[0] === part.end[0] && part.start[1] === part.end[1]) found.add("a wall without length");
  }
  for (const joint of scene.joints) if (text.joints[joint.type]) found.add(text.joints[joint.type]);
  const [first] = [...found].sort();
  return first ? `${first} cannot be written as islands text` : range(scene);
}

// The numbers of a scene that its text would print, in the text's units.
function range(scene) {
  const { bodies, joints, fields } = scene, numbers = [...scene.gravity, scene.dt * 1000];
  for (const part of scene.static) numbers.push(...(part.type === "peg" ? part.center : [...part.start, ...part.end, part.surface_speed ?? 0]), part.radius, part.friction, part.restitution);
  for (const field of fields) numbers.push(...(field.center ?? field.velocity ?? []), field.strength === undefined ? field.drag * 100 : field.strength / 1e4, field.softening ?? 0);
  for (const joint of joints) numbers.push(...(joint.anchor_a ?? []), ...(joint.anchor_b ?? []), joint.length ?? 0, joint.stiffness ?? 0, joint.damping ?? 0, joint.spin ?? 0);
  for (const body of bodies) numbers.push(...body.size, ...body.position, body.mass, body.friction, body.restitution);
  const largest = Math.max(...numbers.map(Math.abs)), smallest = Math.min(scene.dt * 1000, ...bodies.flatMap((body) => [...body.size, body.mass]));
  if (largest > 9999.5) return `the number ${Number(largest.toPrecision(6))} cannot be written as impulse text, whose numbers end at 9999`;
  if (smallest < 0.0005) return `the time step, size or mass ${Number(smallest.toPrecision(6))} cannot be written as impulse text, where it would print as 0`;
  return "";
}

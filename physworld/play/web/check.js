// A scene from an address or from drawing, checked: what is wrong is said in one sentence.
const STATIC = { segment: ["radius"], peg: ["radius"] };
const JOINTS = { pin: ["length"], pivot: [], rope: ["length"], spring: ["length", "stiffness", "damping"], motor: ["spin", "torque"], slide: ["shortest", "longest"], groove: [],
  gear: ["phase", "ratio"], rotary_limit: ["lowest", "highest"], rotary_spring: ["rest_angle", "stiffness", "damping"], ratchet: ["phase", "ratchet"] };
const ANCHORED = { pin: ["anchor_a", "anchor_b"], pivot: ["anchor_a", "anchor_b"], rope: ["anchor_a", "anchor_b"], spring: ["anchor_a", "anchor_b"], slide: ["anchor_a", "anchor_b"], groove: ["groove_start", "groove_end", "anchor_b"] };
const FIELDS = { attractor: ["strength", "softening"], mutual_gravity: ["strength", "softening"], wind: ["drag"] };
const SIGNED = new Set(["spin", "phase", "ratio", "ratchet", "lowest", "highest", "rest_angle", "strength"]);

const wrong = (sentence) => { throw new Error(sentence); };
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isNumber = (value) => typeof value === "number" && Math.abs(value) < 1e300;

function number(part, name, what, least = -Infinity) {
  if (!isNumber(part[name]) || part[name] < least) wrong(`${what} has ${name} ${JSON.stringify(part[name]) ?? "nothing"}, it must be a number${least === 0 ? " that is not negative" : least > 0 ? " that is positive" : ""}.`);
}
function pair(value, name, what) { if (!Array.isArray(value) || value.length !== 2 || !value.every(isNumber)) wrong(`${what} has ${name} ${JSON.stringify(value) ?? "nothing"}, it must be two numbers.`); }
function surface(part, what) { for (const name of ["friction", "restitution"]) number(part, name, what, 0); }

function corners(value, what) {
  if (!Array.isArray(value) || value.length < 3 || value.length > 64) wrong(`${what} must have 3 to 64 corners.`);
  value.forEach((corner) => pair(corner, "a corner", what));
}

function form(part, what, kinds) {
  const sizes = { circle: 1, rect: 2, polygon: 0, compound: 0 }[part.shape], size = part.size ?? [];
  if (sizes === undefined || !kinds.includes(part.shape)) wrong(`${what} has an unknown shape; choose ${kinds.join(", ")}.`);
  if (!Array.isArray(size) || size.length !== sizes || !size.every((value) => isNumber(value) && value > 0)) wrong(`${what} is a ${part.shape} of size ${JSON.stringify(size)}; sizes must be positive, ${sizes} of them.`);
  if (part.shape === "polygon") corners(part.vertices, what);
}

function filter(part, what) {
  if (part.filter === undefined) return;
  for (const name of ["group", "categories", "mask"]) if (!isObject(part.filter) || !Number.isInteger(part.filter[name]) || part.filter[name] < 0 || part.filter[name] > 4294967295) wrong(`${what} has a filter that cannot be read.`);
}

// The scene itself, made whole; throws a sentence.
export function checked(scene, most) {
  if (!isObject(scene)) wrong("This is no scene.");
  const { bodies, static: walls = [], joints = [], fields = [] } = scene, lists = { bodies, static: walls, joints, fields };
  for (const [name, list] of Object.entries(lists)) if (!Array.isArray(list) || list.length > 4096 || !list.every(isObject)) wrong(`The scene lacks the key "${name}", or it is no list.`);
  if (bodies.length < 1 || bodies.length > most) wrong(`This scene has ${bodies.length} bodies; the page takes 1 to ${most}.`);
  pair(scene.gravity, "gravity", "The scene");
  number(scene, "dt", "The scene", 1e-6);
  if (scene.dt > 1) wrong("The scene's dt must be at most 1 (s).");
  const canvas = scene.canvas ?? [800, 600];
  pair(canvas, "canvas", "The scene");
  if (!canvas.every((side) => Number.isInteger(side) && side > 0 && side <= 20000)) wrong("The scene's canvas must be whole numbers from 1 to 20000.");
  bodies.forEach((body, k) => {
    const what = `Body ${k}`;
    form(body, what, ["circle", "rect", "polygon", "compound"]);
    pair(body.position, "position", what); pair(body.velocity, "velocity", what);
    number(body, "angle", what); number(body, "spin", what); number(body, "mass", what, 1e-9);
    surface(body, what); filter(body, what);
    if (body.shape === "compound") {
      if (!Array.isArray(body.parts) || !body.parts.length || body.parts.length > 64 || !body.parts.every(isObject)) wrong(`${what} must have 1 to 64 parts.`);
      for (const part of body.parts) { form(part, what, ["circle", "rect", "polygon"]); pair(part.at ?? [0, 0], "at", what); if (!isNumber(part.angle ?? 0) || !(isNumber(part.density ?? 1) && (part.density ?? 1) > 0)) wrong(`${what} has a part that cannot be read.`); }
    }
    if (!["dynamic", "kinematic", undefined].includes(body.kind)) wrong(`${what} has an unknown kind.`);
  });
  walls.forEach((part, k) => {
    const what = `Wall ${k}`;
    if (!STATIC[part.type]) wrong(`${what} has an unknown type; choose segment or peg.`);
    number(part, "radius", what, part.type === "peg" ? 1e-6 : 0);
    surface(part, what); filter(part, what);
    if (part.type === "peg") { pair(part.center, "center", what); return; }
    pair(part.start, "start", what); pair(part.end, "end", what);
    if (part.one_way) pair(part.one_way, "one_way", what);
    if (part.surface_speed !== undefined) number(part, "surface_speed", what);
    if (part.surface_speed && part.start[0] === part.end[0] && part.start[1] === part.end[1]) wrong(`${what} is a belt without length.`);
  });
  joints.forEach((joint, k) => {
    const what = `Joint ${k}`, is = (end, least) => Number.isInteger(end) && end >= least && end < bodies.length;
    if (!JOINTS[joint.type]) wrong(`${what} has an unknown type; choose ${Object.keys(JOINTS).join(", ")}.`);
    if (!is(joint.body_a, -1) || !is(joint.body_b, 0) || joint.body_a === joint.body_b) wrong(`${what} holds bodies ${joint.body_a} and ${joint.body_b}, which it cannot.`);
    for (const name of ANCHORED[joint.type] ?? []) pair(joint[name], name, what);
    for (const name of JOINTS[joint.type]) number(joint, name, what, SIGNED.has(name) ? -Infinity : 0);
  });
  fields.forEach((field, k) => {
    const what = `Field ${k}`;
    if (!FIELDS[field.type]) wrong(`${what} has an unknown type; choose ${Object.keys(FIELDS).join(", ")}.`);
    for (const name of FIELDS[field.type]) number(field, name, what, SIGNED.has(name) ? -Infinity : 0);
    if (field.type === "attractor") pair(field.center, "center", what);
    if (field.type === "wind") pair(field.velocity, "velocity", what);
  });
  return { name: "own", category: "own", difficulty: 1, text: "", ...scene, ...lists, canvas };
}

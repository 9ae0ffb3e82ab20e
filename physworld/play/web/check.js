// A scene from an address, a file or from drawing, checked and made whole; what is wrong is said in one sentence.
// As physworld/text/codecs/_scene_dict.py reads it and physworld/types/limits.py bounds it; keys, types and bounds are Python's own.
import { area, centre, moment } from "./scene.js";

const wrong = (sentence) => { throw new Error(`${sentence}.`); };
const shown = (value) => { const word = JSON.stringify(value) ?? "nothing"; return word.length <= 40 ? word : `${word.slice(0, 37)}...`; };
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isNumber = (value) => typeof value === "number" && Math.abs(value) <= 1e300;
const isWhole = (value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 53;
const isPair = (value) => Array.isArray(value) && value.length === 2 && value.every(isNumber);
const cross = (a, b) => a[0] * b[1] - a[1] * b[0];
const round = (values) => values.map((value, k) => [value, values[(k + 1) % values.length]]); // each with the next, the last with the first
const minus = ([a, b]) => [b[0] - a[0], b[1] - a[1]];
const same = (a, b) => a[0] === b[0] && a[1] === b[1];

// By the type that physworld/types gives a key: whether a value is one, and what it must be.
const VALUES = {
  str: [(value) => typeof value === "string" && !/\p{Surrogate}/u.test(value), "a text of whole characters"],
  int: [isWhole, "a whole number"],
  float: [isNumber, "a number"],
  bool: [(value) => typeof value === "boolean", "true or false"],
  Point: [isPair, "two numbers"],
  "Point | None": [(value) => value === null || isPair(value), "two numbers"],
  "tuple[float, ...]": [(value) => Array.isArray(value) && value.every(isNumber), "a list of numbers"],
  "tuple[int, int]": [(value) => Array.isArray(value) && value.length === 2 && value.every(isWhole), "two whole numbers"],
  "tuple[Point, ...]": [(value) => Array.isArray(value) && value.every(isPair), "a list of points"],
};

// The scene itself, made whole; throws a sentence. text: {scene: what page_text.py says of scenes, limits}.
export function checked(scene, { scene: known, limits }) {
  const { bounds } = known;

  // The keys of one part, each of its type; what may be left out has its default.
  function whole(keys, data, what) {
    if (!isObject(data)) wrong(`${what} is ${shown(data)}, it must be an object`);
    for (const key of Object.keys(data)) {
      if (!Object.hasOwn(keys, key) && !known.remarks.includes(key) && !/^(_|x_)/.test(key)) wrong(`${what} has the unknown key ${shown(key)}; choose one of ${Object.keys(keys).join(", ")}`);
    }
    const found = {};
    for (const [key, [type, ...otherwise]] of Object.entries(keys)) {
      if (Object.hasOwn(data, key)) found[key] = value(type, data[key], what, key);
      else if (!otherwise.length) wrong(`${what} lacks the key "${key}"`);
      else if (otherwise[0] !== null) found[key] = structuredClone(otherwise[0]);
    }
    return found;
  }

  function value(type, given, what, key) {
    if (Object.hasOwn(VALUES, type)) {
      const [is, must] = VALUES[type];
      if (!is(given)) wrong(`${what} has ${key} ${shown(given)}, it must be ${must}`);
      return given;
    }
    if (type.startsWith("Literal")) {
      const names = [...type.matchAll(/'(\w+)'/g)].map(([, name]) => name);
      if (!names.includes(given)) wrong(`${what} has ${key} ${shown(given)}; choose ${names.join(", ")}`);
      return given;
    }
    if (type === "Filter") return filter(whole(known.filter, given, `The filter of ${what}`), what);
    const one = type === "tuple[Part, ...]" ? (part, k) => piece(whole(known.part, part, `Part ${k} of ${what}`), `Part ${k} of ${what}`)
      : type === "tuple[Body, ...]" ? (part, k) => body(whole(known.body, part, `Body ${k}`), `Body ${k}`)
        : ({ static: (part, k) => fixed(kind("static", part, `Wall ${k}`), `Wall ${k}`), joints: (part, k) => joint(kind("joints", part, `Joint ${k}`), `Joint ${k}`),
          fields: (part, k) => numbers(kind("fields", part, `Field ${k}`), "fields", `Field ${k}`) })[key];
    if (!Array.isArray(given) || given.length > bounds.list) wrong(`${what} has ${key} ${shown(given)}, it must be a list of ${bounds.list} at most`);
    return given.map(one);
  }

  function kind(group, data, what) {
    const kinds = known[group];
    if (!isObject(data) || !Object.hasOwn(kinds, data.type)) wrong(`${what} has an unknown type; choose ${Object.keys(kinds).join(", ")}`);
    const { type, ...rest } = data;
    return { type, ...whole(kinds[type], rest, what) };
  }

  function least(part, names, what) { for (const name of names) if (part[name] < 0) wrong(`${what} has ${name} ${part[name]}, it must not be negative`); }
  function positive(number, name, what) { if (!(number > 0 && number < Infinity)) wrong(`${what} has ${name} ${number}, it must be positive`); }

  function filter(found, what) {
    for (const name of ["group", "categories", "mask"]) if (found[name] < 0 || found[name] > bounds.bits) wrong(`The filter of ${what} has ${name} ${found[name]}, it must be from 0 to ${bounds.bits}`);
    return found;
  }

  function form(part, what) {
    const { shape, size = [], vertices = [] } = part, sizes = { circle: 1, rect: 2, polygon: 0, compound: 0 }[shape];
    if (size.length !== sizes || !size.every((side) => side > 0)) wrong(`${what} is a ${shape} of size ${shown(size)}; sizes must be positive, ${sizes} of them`);
    if (shape !== "polygon") { if (vertices.length) wrong(`${what} is a ${shape} and has vertices, which only a polygon may have`); return; }
    if (vertices.length < 3 || vertices.length > bounds.corners) wrong(`${what} is a polygon of ${vertices.length} corners; it must have 3 to ${bounds.corners}`);
    const turned = area(vertices), around = round(vertices).map(minus), turns = round(around).map(([a, b]) => cross(a, b));
    if (new Set(vertices.map(String)).size < vertices.length) wrong(`${what} names one corner twice`);
    if (turned === 0) wrong(`${what} has no area`);
    if (turned < 0) wrong(`${what} runs clockwise; name its corners counter-clockwise`);
    if (Math.min(...turns) <= 1e-9 * turned) wrong(`${what} is not convex, or has a corner on a straight side`);
    const total = round(around).reduce((sum, [a, b]) => sum + Math.atan2(cross(a, b), a[0] * b[0] + a[1] * b[1]), 0); // a star turns more than once
    if (!(Math.abs(total - 2 * Math.PI) < 1e-6)) wrong(`${what} crosses itself`);
  }

  function piece(part, what) {
    form(part, what);
    positive(part.density, "density", what);
    return part;
  }

  function body(part, what) {
    const { shape, parts = [] } = part;
    form(part, what);
    positive(part.mass, "mass", what);
    least(part, ["friction", "restitution"], what);
    if ((shape === "compound") !== parts.length > 0 || parts.length > bounds.parts) wrong(`${what} is a ${shape} of ${parts.length} parts; a compound body has 1 to ${bounds.parts}, others have none`);
    if (["polygon", "compound"].includes(shape) && !(Math.hypot(...centre(part)) <= bounds.offCentre)) wrong(`${what} has its centre of mass at (${centre(part).join(", ")}) px of its own frame, it must be at (0, 0)`);
    positive(moment(part), "a moment of inertia of", what);
    return part;
  }

  function fixed(part, what) {
    least(part, ["radius", "friction", "restitution"], what);
    if (part.type === "peg") { positive(part.radius, "radius", what); return part; }
    const along = minus([part.start, part.end]);
    if (part.surface_speed && same(part.start, part.end)) wrong(`${what} is a belt without length`);
    if (part.one_way && !(Math.abs(cross(along, part.one_way)) > 1e-9 * Math.hypot(...along) * Math.hypot(...part.one_way))) wrong(`${what} has one_way ${shown(part.one_way)}, it must point to one side of it`);
    return part;
  }

  function numbers(part, group, what) {
    least(part, Object.entries(known[group][part.type]).filter(([name, [type]]) => type === "float" && !known.signed.includes(name)).map(([name]) => name), what);
    return part;
  }

  function joint(part, what) {
    const { body_a, body_b } = part;
    if (body_a < -1 || body_b < 0 || body_a === body_b) wrong(`${what} holds bodies ${body_a} and ${body_b}, which it cannot`);
    numbers(part, "joints", what);
    for (const [low, high] of [["shortest", "longest"], ["lowest", "highest"]]) if (part[low] > part[high]) wrong(`${what} has ${low} ${part[low]}, it must not be above ${high}, which is ${part[high]}`);
    for (const name of ["ratio", "ratchet"]) if (part[name] === 0) wrong(`${what} has ${name} 0, it must be another number`);
    if (part.groove_start && same(part.groove_start, part.groove_end)) wrong(`${what} has a groove without length`);
    return part;
  }

  if (!isObject(scene)) wrong("This is no scene");
  const found = whole(known.keys, scene, "The scene"), { bodies, joints, canvas } = found;
  if (bodies.length < 1 || bodies.length > limits.bodies) wrong(`This scene has ${bodies.length} bodies; the page takes 1 to ${limits.bodies}`);
  positive(found.dt, "dt", "The scene");
  if (found.dt > bounds.step) wrong(`The scene's dt must be at most ${bounds.step} (s)`);
  if (!canvas.every((side) => side > 0 && side <= bounds.canvas)) wrong(`The scene's canvas must be whole numbers from 1 to ${bounds.canvas}`);
  if (found.difficulty < 1 || found.difficulty > 5) wrong(`The scene has difficulty ${found.difficulty}, it must be from 1 to 5`);
  joints.forEach(({ body_a, body_b }, k) => {
    const both = `Joint ${k} holds bodies ${body_a} and ${body_b}, which it cannot`;
    if (Math.max(body_a, body_b) >= bodies.length) wrong(both);
    if ([body_a, body_b].every((end) => end < 0 || bodies[end].kind === "kinematic")) wrong(`${both}: one of them must be dynamic`);
  });
  return found;
}

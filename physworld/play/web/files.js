// Scene JSONL, out and in: physworld/text/codecs/scene_json.py and _public.py. A file is a header and a line for each frame.
const PYMUNK = { pin: "PinJoint", pivot: "PivotJoint", rope: "SlideJoint", spring: "DampedSpring", motor: "SimpleMotor", slide: "SlideJoint", groove: "GrooveJoint",
  gear: "GearJoint", rotary_limit: "RotaryLimitJoint", rotary_spring: "DampedRotarySpring", ratchet: "RatchetJoint" };
const ROUNDING = 6e-5;

// Halves go to the even neighbour, as in numpy.
function round(value, decimals) {
  const scale = 10 ** decimals, size = value * scale, up = Math.round(size);
  return (up - size === 0.5 && up % 2 ? up - 1 : up) / scale + 0;
}
const xy = ([x, y]) => ({ x, y });

function object(body, id, [x, y]) {
  return { id, type: body.shape === "rect" ? "rectangle" : body.shape, position: xy([round(x, 4), round(y, 4)]),
    material: { mass: round(body.mass, 4), friction: round(body.friction, 4), elasticity: round(body.restitution, 4) } };
}

function form(body) {
  const own = body.shape === "polygon" ? { vertices: body.vertices } : body.shape === "compound" ? { parts: body.parts }
    : body.shape === "circle" ? { radius: body.size[0] } : { width: body.size[0], height: body.size[1] };
  if (body.kind === "kinematic") own.body_type = body.kind;
  if (body.sensor) own.sensor = true;
  return body.filter ? { ...own, filter: body.filter } : own;
}

function wall(part) {
  const surface = { friction: part.friction, elasticity: part.restitution, ...(part.filter ? { filter: part.filter } : {}) };
  if (part.type === "peg") return { type: "circle", center: xy(part.center), radius: part.radius, ...surface };
  return { type: "segment", p1: xy(part.start), p2: xy(part.end), ...surface, ...(part.one_way ? { one_way: xy(part.one_way) } : {}) };
}

function constraint(joint, rows) {
  const record = { type: PYMUNK[joint.type], body_a: joint.body_a < 0 ? "static" : joint.body_a, body_b: joint.body_b };
  const { rest_angle, stiffness, damping, phase, anchor_a, anchor_b } = joint, anchored = { anchor_a, anchor_b };
  const place = (body, [x, y]) => {
    if (body < 0) return [x, y];
    const [px, py, angle] = rows[body], cos = Math.cos(angle), sin = Math.sin(angle);
    return [px + cos * x - sin * y, py + sin * x + cos * y];
  };
  switch (joint.type) {
    case "motor": return { ...record, rate: -joint.spin, max_force: joint.torque };
    case "gear": return { ...record, phase, ratio: joint.ratio };
    case "rotary_limit": return { ...record, min: joint.lowest, max: joint.highest };
    case "rotary_spring": return { ...record, rest_angle, stiffness, damping };
    case "ratchet": return { ...record, phase, ratchet: joint.ratchet };
    case "groove": return { ...record, groove_a: joint.groove_start, groove_b: joint.groove_end, anchor_b };
    case "rope": return { ...record, ...anchored, min: 0, max: joint.length };
    case "slide": return { ...record, ...anchored, min: joint.shortest, max: joint.longest };
    case "spring": return { ...record, ...anchored, rest_length: joint.length, stiffness, damping };
    case "pin": {
      const [ax, ay] = place(joint.body_a, anchor_a), [bx, by] = place(joint.body_b, anchor_b);
      return { ...record, ...anchored, ...(Math.abs(Math.hypot(bx - ax, by - ay) - joint.length) > ROUNDING ? { distance: joint.length } : {}) };
    }
    default: return { ...record, ...anchored };
  }
}

// frames: rows of x, y, angle, vx, vy, spin of each. files: what the export knows of the format.
export function jsonl(scene, frames, files) {
  const [start] = frames, column = (pick) => start.map(pick);
  const exact = { version: files.version, scene };
  const initial = scene.bodies.every(({ position, velocity, angle, spin }, k) => [...position, angle, ...velocity, spin].every((value, c) => value === start[k][c]));
  if (!initial) exact.start = { position: column(([x, y]) => [x, y]), velocity: column(([, , , vx, vy]) => [vx, vy]), angle: column((row) => row[2]), spin: column((row) => row[5]) };
  const header = { type: "scene_header", seed: 0, description: scene.text, object_count: scene.bodies.length, gravity: xy(scene.gravity), timestep: scene.dt,
    objects: scene.bodies.map((body, k) => ({ ...object(body, k, start[k]), ...form(body) })), scenario_type: scene.name, scenario_category: scene.category, difficulty: scene.difficulty,
    static_geometry: scene.static.map(wall), constraints: scene.joints.map((joint) => constraint(joint, start)), physworld_version: files.physworld, physworld: exact };
  const lines = frames.slice(1).map((rows, k) => {
    const speeds = rows.map(([, , , vx, vy]) => [round(vx, 4), round(vy, 4)]), count = rows.length, moving = speeds.filter(([vx, vy]) => Math.abs(vx) > files.moving || Math.abs(vy) > files.moving).length;
    const about = moving === 0 ? files.atRest : moving === count ? files.inMotion : `${moving} of ${count}${files.someMove}`;
    const objects = scene.bodies.map((body, i) => {
      const { material, ...rest } = object(body, i, rows[i]);
      return { ...rest, velocity: xy(speeds[i]), angle: round(rows[i][2], 6), angular_velocity: round(rows[i][5], 6), material };
    });
    return { frame: k + 1, description: `Frame ${k + 1}: ${about}`, objects };
  });
  return [header, ...lines].map((line) => `${JSON.stringify(line)}\n`).join("");
}

// {scene, start}: the scene of a file that physworld wrote, and where its bodies were first.
export function opened(text, name, files) {
  const wrong = (sentence) => { throw new Error(`${name} line 1: ${sentence}`); };
  let header;
  try { header = JSON.parse(text.split("\n", 1)[0]); } catch { wrong("this is not valid JSON."); }
  if (header?.type !== "scene_header") wrong('the first line must have "type": "scene_header".');
  const { version, scene, start } = header.physworld ?? {};
  if (version === undefined) wrong("this file was not written by physworld, and this page opens no others; physworld play does.");
  if (version !== files.version) wrong(`the "physworld" key has version ${version}; version ${files.version} can be read.`);
  if (start === undefined) return { scene };
  const count = scene?.bodies?.length, columns = ["position", "velocity", "angle", "spin"].map((key) => start[key]);
  if (!columns.every((column) => Array.isArray(column) && column.length === count)) wrong(`start must have ${count} entries of each column.`);
  const [position, velocity, angle, spin] = columns, rows = position.map((place, k) => [place?.[0], place?.[1], angle[k], velocity[k]?.[0], velocity[k]?.[1], spin[k]]);
  if (!rows.every((row) => row.every(Number.isFinite))) wrong("start holds what is no number.");
  return { scene, start: rows };
}

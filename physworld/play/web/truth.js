// The simulator: Chipmunk as WASM (truth.c), as physworld/sim/pymunk_sim.py's Live drives Pymunk.
import { cornersOf, isDriven, moment, reach } from "./scene.js";

const JOINTS = ["pin", "pivot", "rope", "slide", "groove", "spring", "rotary_spring", "rotary_limit", "gear", "ratchet", "motor"];
const OWN = { pin: ["length"], pivot: [], rope: ["length"], slide: ["shortest", "longest"], spring: ["length", "stiffness", "damping"],
  rotary_spring: ["rest_angle", "stiffness", "damping"], rotary_limit: ["lowest", "highest"], gear: ["phase", "ratio"], ratchet: ["phase", "ratchet"], motor: ["spin", "torque"] };
const EVERYTHING = { group: 0, categories: 4294967295, mask: 4294967295 };

// The WASM's functions; `bytes` is truth.wasm.
export async function chipmunk(bytes) {
  const stop = () => { throw new Error("The simulator stopped."); };
  const { instance } = await WebAssembly.instantiate(bytes, { env: { emscripten_notify_memory_growth: () => {} }, wasi_snapshot_preview1: { proc_exit: stop } });
  instance.exports._initialize();
  return instance.exports;
}

// One world at a time: a new one frees the one before.
export class Truth {
  constructor(calls, scene, rows) {
    Object.assign(this, { calls, scene, count: scene.bodies.length });
    if (this.constructor.room) calls.release(this.constructor.room);
    const room = this.constructor.room = calls.room(Math.max(6 * this.count, 2 * 64) + 8);
    const write = (values) => { new Float64Array(calls.memory.buffer, room, values.length).set(values); return room; };
    const surface = ({ friction, restitution, filter = EVERYTHING }) => [friction, restitution, filter.group, filter.categories, filter.mask];
    const beside = calls.room(5), dress = (part) => { new Float64Array(calls.memory.buffer, beside, 5).set(surface(part)); return beside; };
    calls.world_new(...scene.gravity);
    scene.bodies.forEach((body, k) => {
      const [x, y, angle, vx, vy, spin] = rows[k], sensor = body.sensor ? 1 : 0, first = calls.shapes_now();
      calls.add_body(isDriven(body) ? 1 : 0, body.mass, moment(body), x, y, vx, vy, angle, spin);
      const polygon = (corners) => { const at = write(corners.flat()); calls.add_polygon(corners.length, at, sensor, dress(body)); };
      if (body.shape === "circle") calls.add_circle(body.size[0], 0, 0, sensor, dress(body));
      else if (body.shape === "rect") calls.add_box(...body.size, sensor, dress(body));
      else if (body.shape === "polygon") polygon(body.vertices);
      else for (const part of body.parts) part.shape === "circle" ? calls.add_circle(part.size[0], ...(part.at ?? [0, 0]), sensor, dress(body)) : polygon(cornersOf(part));
      calls.join_body(first);
    });
    if (scene.static.length || scene.joints.some((joint) => joint.body_a < 0)) calls.add_ground();
    for (const part of scene.static) {
      if (part.type === "peg") { calls.add_peg(...part.center, part.radius, dress(part)); continue; }
      const [ax, ay] = part.start, [bx, by] = part.end, share = part.surface_speed ? part.surface_speed / Math.hypot(bx - ax, by - ay) : 0;
      calls.add_segment(ax, ay, bx, by, part.radius, (bx - ax) * share, (by - ay) * share, part.one_way ? 1 : 0, ...(part.one_way ?? [0, 0]), dress(part));
    }
    for (const joint of scene.joints) {
      const ends = joint.type === "groove" ? [...joint.groove_start, ...joint.groove_end, ...joint.anchor_b]
        : [...(joint.anchor_a ?? [0, 0]), ...(joint.anchor_b ?? [0, 0]), ...OWN[joint.type].map((name) => joint[name])];
      calls.add_joint(JOINTS.indexOf(joint.type), joint.body_a, joint.body_b, write(ends));
    }
    calls.join_joints();
    calls.release(beside);
    this.fields = fieldsOf(scene);
  }

  step() {
    const { calls, scene, count } = this, { room } = this.constructor;
    let force = 0;
    if (scene.fields.length) {
      const push = this.fields(this.rows(), scene.dt);
      new Float64Array(calls.memory.buffer, room, 2 * count).set(push.flatMap(([x, y], k) => [scene.bodies[k].mass * x, scene.bodies[k].mass * y]));
      force = room;
    }
    calls.step_world(scene.dt, force);
  }

  rows() {
    const { calls, count } = this, { room } = this.constructor;
    calls.read_rows(room);
    const found = new Float64Array(calls.memory.buffer, room, 6 * count);
    return Array.from({ length: count }, (_, k) => Array.from(found.subarray(6 * k, 6 * k + 6)));
  }

  put(rows) {
    const { calls, count } = this, { room } = this.constructor;
    new Float64Array(calls.memory.buffer, room, 6 * count).set(rows.flat());
    calls.put_rows(room);
  }
}

// Accelerations that a scene's fields give, px/s²: physworld/sim/fields.py.
function fieldsOf(scene) {
  const { bodies, fields, dt } = scene, of = (type) => fields.filter((field) => field.type === type);
  const poles = of("attractor"), mutual = of("mutual_gravity"), winds = of("wind");
  const shares = winds.map(({ drag }) => bodies.map((body) => -Math.expm1(-drag * (2 * reach(body)) / body.mass * dt) / dt));
  return (rows) => {
    const ahead = rows.map(([x, y, , vx, vy]) => [x + vx * dt, y + vy * dt]);
    return ahead.map(([x, y], i) => {
      let ax = 0, ay = 0;
      if (isDriven(bodies[i])) return [0, 0];
      const pull = (px, py, strength, softening) => {
        const dx = px - x, dy = py - y, d2 = dx * dx + dy * dy + softening * softening, size = strength / (d2 * Math.sqrt(d2));
        ax += size * dx; ay += size * dy;
      };
      for (const { center, strength, softening } of poles) pull(...center, strength, softening);
      for (const { strength, softening } of mutual) ahead.forEach(([px, py], j) => { if (j !== i) pull(px, py, strength * bodies[j].mass, softening); });
      winds.forEach(({ velocity }, w) => { ax += (velocity[0] - rows[i][3]) * shares[w][i]; ay += (velocity[1] - rows[i][4]) * shares[w][i]; });
      return [ax, ay];
    });
  };
}

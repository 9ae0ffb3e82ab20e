// What drawing does to a scene. Each tool takes where the pointer went down and up (world px) and the bodies there.
const round = (v) => Math.round(v * 100) / 100;
const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const point = (p) => p.map(round);
const own = { angle: 0, spin: 0, velocity: [0, 0], friction: 0.5, restitution: 0.5 };

// The anchor of a joint's first end: a body's middle, or a point of the world.
const first = (from, body) => (body < 0 ? point(from) : [0, 0]);

function link(kind, more) {
  return (scene, from, to, a, b) => {
    if (b < 0 && a >= 0) [a, b, from, to] = [b, a, to, from];
    if (b < 0 || a === b) return "A joint needs a body at one end, and another body or a place of the world at the other.";
    const place = scene.bodies[b].position, start = a < 0 ? from : scene.bodies[a].position;
    scene.joints.push({ type: kind, body_a: a, body_b: b, anchor_a: first(from, a), anchor_b: [0, 0], ...more(far(start, place), scene.bodies[b]) });
  };
}

export const TOOLS = {
  grab: { label: "Grab", hint: "Drag a body and let go to throw it." },
  circle: {
    label: "Circle", hint: "Drag from the middle outwards.",
    draw: (scene, from, to) => { scene.bodies.push({ shape: "circle", size: [round(Math.max(6, far(from, to)))], position: point(from), mass: 1, ...own }); },
  },
  box: {
    label: "Box", hint: "Drag from corner to corner.",
    draw: (scene, from, to) => {
      const size = [0, 1].map((i) => round(Math.max(8, Math.abs(to[i] - from[i]))));
      scene.bodies.push({ shape: "rect", size, position: point([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2]), mass: 1, ...own });
    },
  },
  wall: {
    label: "Wall", hint: "Drag from end to end.",
    draw: (scene, from, to) => {
      if (far(from, to) < 4) return "A wall needs a length: drag from one end to the other.";
      scene.static.push({ type: "segment", start: point(from), end: point(to), radius: 4, friction: 0.5, restitution: 0.5, surface_speed: 0 });
    },
  },
  peg: {
    label: "Peg", hint: "Drag from the middle outwards: a disc that never moves.",
    draw: (scene, from, to) => { scene.static.push({ type: "peg", center: point(from), radius: round(Math.max(5, far(from, to))), friction: 0.5, restitution: 0.5 }); },
  },
  pin: { label: "Pin", hint: "Drag from a body, or a place, to a body: a rod between them.", draw: link("pin", (length) => ({ length: round(length) })) },
  spring: {
    label: "Spring", hint: "Drag from a body, or a place, to a body.",
    draw: link("spring", (length, body) => ({ length: round(length), stiffness: 40 * body.mass, damping: 0.5 })),
  },
  motor: {
    label: "Motor", hint: "Press on a body: a hinge and a motor that turns it.",
    draw: (scene, from, to, a) => {
      if (a < 0) return "A motor needs a body: press on one.";
      const { mass, position } = scene.bodies[a];
      scene.joints.push({ type: "pivot", body_a: -1, body_b: a, anchor_a: point(position), anchor_b: [0, 0] });
      scene.joints.push({ type: "motor", body_a: -1, body_b: a, spin: 3, torque: 400000 * mass });
    },
  },
  wind: {
    label: "Wind", hint: "Drag where the air goes: ten times as far each second.",
    draw: (scene, from, to) => {
      scene.fields = scene.fields.filter((f) => f.type !== "wind");
      if (far(from, to) > 8) scene.fields.push({ type: "wind", velocity: [round(10 * (to[0] - from[0])), round(10 * (to[1] - from[1]))], drag: 0.01 });
    },
  },
  well: {
    label: "Well", hint: "Press where bodies are pulled to.",
    draw: (scene, from) => { scene.fields.push({ type: "attractor", center: point(from), strength: 2e7, softening: 30 }); },
  },
  erase: {
    label: "Erase", hint: "Press on a body, a wall, a peg or a well.",
    draw: (scene, from, to, a) => {
      if (a >= 0) return removeBody(scene, a);
      const near = (part) => (part.type === "peg" ? far(from, part.center) - part.radius : distance(from, part.start, part.end) - part.radius);
      const k = scene.static.findIndex((part) => near(part) < 8);
      if (k >= 0) { scene.static.splice(k, 1); return; }
      const f = scene.fields.findIndex((field) => field.type === "attractor" && far(from, field.center) < 20);
      if (f < 0) return "There is nothing to erase here.";
      scene.fields.splice(f, 1);
    },
  },
};

function distance(p, a, b) {
  const long = far(a, b) ** 2 || 1, s = Math.min(1, Math.max(0, ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / long));
  return far(p, [a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1])]);
}

export function removeBody(scene, k) {
  if (scene.bodies.length < 2) return "A scene keeps at least one body.";
  scene.bodies.splice(k, 1);
  const shift = (end) => (end > k ? end - 1 : end);
  scene.joints = scene.joints.filter((j) => j.body_a !== k && j.body_b !== k).map((j) => ({ ...j, body_a: shift(j.body_a), body_b: shift(j.body_b) }));
}

export const EMPTY = {
  name: "own", category: "own", difficulty: 1, text: "", gravity: [0, -981], dt: 1 / 60, canvas: [800, 600], joints: [], fields: [],
  bodies: [{ shape: "circle", size: [24], position: [250, 400], mass: 1, ...own, velocity: [180, 0] }],
  static: [[[10, 10], [790, 10]], [[10, 10], [10, 590]], [[790, 10], [790, 590]]].map(([start, end]) => ({ type: "segment", start, end, radius: 5, friction: 0.5, restitution: 0.5, surface_speed: 0 })),
};

// RMSE, energy and momentum of two states: physworld/metrics/energy.py, errors.py. px² to m² is 1e4.
import { moment } from "./scene.js";

const at = (rows, body, [x, y]) => {
  if (body < 0) return [x, y];
  const [px, py, angle] = rows[body], cos = Math.cos(angle), sin = Math.sin(angle);
  return [px + cos * x - sin * y, py + sin * x + cos * y];
};

// J
export function energy({ bodies, joints, fields, gravity }, rows) {
  let total = 0;
  bodies.forEach((body, k) => {
    const [x, y, , vx, vy, spin] = rows[k];
    total += (body.mass * (vx * vx + vy * vy) + moment(body) * spin * spin) / 2 - body.mass * (gravity[0] * x + gravity[1] * y);
  });
  const away = (dx, dy, softening) => Math.max(Math.sqrt(dx * dx + dy * dy + softening * softening), 1);
  for (const field of fields) {
    if (field.type === "attractor") bodies.forEach(({ mass }, k) => { total -= mass * field.strength / away(rows[k][0] - field.center[0], rows[k][1] - field.center[1], field.softening); });
    else if (field.type === "mutual_gravity") for (let i = 0; i < bodies.length; i++) for (let j = 0; j < i; j++) {
      total -= field.strength * bodies[i].mass * bodies[j].mass / away(rows[i][0] - rows[j][0], rows[i][1] - rows[j][1], field.softening);
    }
  }
  for (const joint of joints) {
    if (joint.type === "spring") {
      const [ax, ay] = at(rows, joint.body_a, joint.anchor_a), [bx, by] = at(rows, joint.body_b, joint.anchor_b), off = Math.hypot(bx - ax, by - ay) - joint.length;
      total += joint.stiffness / 2 * off * off;
    } else if (joint.type === "rotary_spring") {
      const off = (joint.body_a < 0 ? 0 : rows[joint.body_a][2]) - rows[joint.body_b][2] - joint.rest_angle;
      total += joint.stiffness / 2 * off * off;
    }
  }
  return total / 1e4;
}

// kg·m/s
export function momentum({ bodies }, rows) {
  let x = 0, y = 0;
  bodies.forEach(({ mass }, k) => { x += mass * rows[k][3]; y += mass * rows[k][4]; });
  return Math.hypot(x, y) / 100;
}

// px
export const rmse = (truth, guess) => Math.sqrt(truth.reduce((sum, [x, y], k) => sum + (guess[k][0] - x) ** 2 + (guess[k][1] - y) ** 2, 0) / truth.length);

// Island text of a frame, and what an answer does to the bodies: physworld/text/codecs/_impulse_kernel.py, impulse.py,
// islands.py and _island_documents.py, step by step, so that every token is the same.
import { findContacts, solids } from "./contacts.js";
import { indexOf, valueOf } from "./numbers.js";
import { gyration, reach } from "./scene.js";

const ROD = 0, HINGE = 1, ROPE = 2, SPRING = 3, MOTOR = 4, POLE = 0, MUTUAL = 1, WIND = 2, CIRCLE = 0;
const KINDS = { pin: ROD, pivot: HINGE, rope: ROPE, spring: SPRING, motor: MOTOR }, FIELDS = { attractor: POLE, mutual_gravity: MUTUAL, wind: WIND };
const X = 0, Y = 1, ANGLE = 2, VX = 3, VY = 4, SPIN = 5; // columns of a state's rows

// Unit vector from (ox, oy) to (mx, my), and the distance.
function facing(mx, my, ox, oy) {
  const dx = mx - ox, dy = my - oy, d = Math.sqrt(dx * dx + dy * dy);
  return d > 1e-9 ? [dx / d, dy / d, d] : [0, 1, d];
}

export class Codec {
  // text: words and limits, as the export wrote them.
  constructor(text, scene) {
    const { bodies } = scene, n = bodies.length;
    Object.assign(this, { text, scene, n, word: text.word, solids: solids(scene), dt: scene.dt, gravity: scene.gravity });
    this.mass = bodies.map((body) => body.mass);
    this.gyration = bodies.map(gyration);
    this.joints = scene.joints.map((joint) => ({ ...joint, sort: KINDS[joint.type] }));
    const ends = bodies.map(() => []);
    this.joints.forEach((joint, row) => {
      if (joint.body_a >= 0) ends[joint.body_a].push([row, 0]);
      ends[joint.body_b].push([row, 1]);
    });
    this.mine = ends.map((some) => [...some.filter(([row]) => this.joints[row].sort !== MOTOR), ...some.filter(([row]) => this.joints[row].sort === MOTOR)]);
    this.belts = scene.static.map((part) => {
      if (!part.surface_speed) return [0, 0];
      const dx = part.end[0] - part.start[0], dy = part.end[1] - part.start[1], long = Math.sqrt(dx * dx + dy * dy);
      return [part.surface_speed * dx / long, part.surface_speed * dy / long];
    });
    this.fields = scene.fields.map((field) => ({ ...field, sort: FIELDS[field.type] })).sort((a, b) => a.sort - b.sort);
  }

  // VN VT AN AT BN BT of point p of body i against point q of body `other`, or of what does not move (-1).
  relative(i, other, rows, nx, ny, px, py, qx, qy) {
    const { xs, ys } = this, a = rows[i], ka = this.gyration[i], rx = px - xs[i], ry = py - ys[i];
    let vx = 0, vy = 0, w = 0, kb = 0, sx = 0, sy = 0;
    if (other >= 0) { [, , , vx, vy, w] = rows[other]; kb = this.gyration[other]; sx = qx - xs[other]; sy = qy - ys[other]; }
    const ux = (a[VX] - a[SPIN] * ry) - (vx - w * sy), uy = (a[VY] + a[SPIN] * rx) - (vy + w * sx);
    const bn = kb > 0 ? (sx * ny - sy * nx) / kb : 0, bt = kb > 0 ? (sx * nx + sy * ny) / kb : 0;
    return [ux * nx + uy * ny, uy * nx - ux * ny, (rx * ny - ry * nx) / ka, (rx * nx + ry * ny) / ka, bn, bt];
  }

  // The bodies that pull body i most, strongest first.
  strongest(i, softening) {
    const { xs, ys, mass } = this, most = this.text.mostPulls, others = [], pulls = [];
    for (let j = 0; j < this.n; j++) {
      if (j === i) continue;
      const dx = xs[j] - xs[i], dy = ys[j] - ys[i], d2 = dx * dx + dy * dy;
      const pull = d2 > 0 ? mass[j] * Math.sqrt(d2) / (d2 + softening * softening) ** 1.5 : 0;
      let k = others.length;
      while (k > 0 && pulls[k - 1] < pull) k--;
      if (k >= most) continue;
      others.splice(k, 0, j); pulls.splice(k, 0, pull);
      if (others.length > most) { others.pop(); pulls.pop(); }
    }
    return others;
  }

  // [nx, ny, slip] of a body's own frame, from its first partner.
  frame(i, rows, ends, own) {
    const { xs, ys, fields, n } = this, row = rows[i], [first] = this.mine[i];
    if (first) {
      const [j, side] = first, joint = this.joints[j];
      if (joint.sort === HINGE || joint.sort === MOTOR) {
        let nx = -Math.sin(this.turned[i]), ny = Math.cos(this.turned[i]);
        if (joint.sort === HINGE) {
          const [fx, fy, arm] = facing(xs[i], ys[i], ...ends[j][side]);
          if (arm > 1e-6) { nx = fx; ny = fy; }
        }
        return [nx, ny, row[SPIN]];
      }
      const other = side ? joint.body_a : joint.body_b, [px, py] = ends[j][side], [qx, qy] = ends[j][1 - side];
      const [nx, ny] = facing(px, py, qx, qy);
      return [nx, ny, this.relative(i, other, rows, nx, ny, px, py, qx, qy)[1]];
    }
    if (own.length) {
      const c = own[0], mine = c.body === i, sign = mine ? 1 : -1, nx = sign * c.nx, ny = sign * c.ny;
      let other = mine ? c.partner : c.body, slip = 0;
      if (other >= n) {
        const [bx, by] = this.belts[other - n];
        slip = -c.points.length * (by * nx - bx * ny);
        other = -1;
      }
      for (const { x, y } of c.points) slip += this.relative(i, other, rows, nx, ny, x, y, x, y)[1];
      return [nx, ny, slip];
    }
    const [field] = fields;
    let nx = 0, ny = 1;
    if (field.sort === POLE) [nx, ny] = facing(xs[i], ys[i], ...field.center);
    else if (field.sort === WIND) [nx, ny] = facing(field.velocity[0], field.velocity[1], row[VX], row[VY]);
    else { const [most] = this.strongest(i, field.softening); if (most !== undefined) [nx, ny] = facing(xs[i], ys[i], xs[most], ys[most]); }
    return [nx, ny, row[VY] * nx - row[VX] * ny];
  }

  // Each listed body's own frame and records. A record: {word, own, partner (a body, -1 the world, null none), numbers}.
  records(rows) {
    const { n, dt, gravity, mass, gyration: k, fields, joints } = this, { friction, restitution } = this.solids, { noSlip, mostPartners } = this.text;
    this.xs = rows.map((row) => row[X] + row[VX] * dt);
    this.ys = rows.map((row) => row[Y] + row[VY] * dt);
    this.turned = rows.map((row) => row[ANGLE] + row[SPIN] * dt);
    const { xs, ys, turned } = this, near = rows.map(() => []);
    for (const contact of findContacts(this.solids, xs, ys, turned, this.text.margin)) {
      contact.nearest = Math.min(...contact.points.map((point) => point.gap));
      for (const i of [contact.body, contact.partner]) {
        if (i >= n) continue;
        let place = near[i].length;
        while (place > 0 && near[i][place - 1].nearest > contact.nearest) place--;
        if (place >= mostPartners) continue;
        near[i].splice(place, 0, contact);
        if (near[i].length > mostPartners) near[i].pop();
      }
    }
    const end = (body, anchor) => {
      const [x, y] = anchor ?? [0, 0];
      if (body < 0) return [x, y];
      const cos = Math.cos(turned[body]), sin = Math.sin(turned[body]);
      return [xs[body] + cos * x - sin * y, ys[body] + sin * x + cos * y];
    };
    const ends = joints.map((joint) => [end(joint.body_a, joint.anchor_a), end(joint.body_b, joint.anchor_b)]);
    const listed = [];
    for (let i = 0; i < n; i++) {
      if (!this.mine[i].length && !near[i].length && !fields.length) continue;
      const row = rows[i], lines = [];
      let [nx, ny, slip] = this.frame(i, rows, ends, near[i]);
      if (Math.abs(slip) < noSlip) slip = gravity[1] * nx - gravity[0] * ny;
      if (Math.abs(slip) < noSlip) slip = row[SPIN];
      const hand = slip >= 0 ? 1 : -1, tx = -hand * ny, ty = hand * nx;
      const write = (word, partner, ...numbers) => lines.push({ word, own: i, partner, numbers });
      write("self", null, nx, ny, hand, row[VX] * nx + row[VY] * ny, row[VX] * tx + row[VY] * ty, hand * row[SPIN] * k[i],
        (gravity[0] * nx + gravity[1] * ny) * dt, (gravity[0] * tx + gravity[1] * ty) * dt);
      for (const [j, side] of this.mine[i]) {
        const joint = joints[j], other = side ? joint.body_a : joint.body_b;
        if (joint.sort === MOTOR) {
          const inertia = mass[i] * k[i] * k[i];
          let against = 0, share = 1;
          if (other >= 0) {
            against = rows[other][SPIN];
            const theirs = mass[other] * k[other] * k[other];
            share = theirs / (inertia + theirs);
          }
          const wanted = against + (side ? joint.spin : -joint.spin);
          write("drive", other, share, hand * (wanted - row[SPIN]) * k[i], joint.torque * dt / inertia * k[i]);
          continue;
        }
        const [px, py] = ends[j][side], [qx, qy] = ends[j][1 - side], share = other < 0 ? 1 : mass[other] / (mass[i] + mass[other]);
        if (joint.sort === HINGE) {
          const [vn, vt, an, ac, bn, bt] = this.relative(i, other, rows, nx, ny, px, py, qx, qy);
          write("hold", other, share, (px - qx) * nx + (py - qy) * ny, (px - qx) * tx + (py - qy) * ty, vn, hand * vt, hand * an, ac, hand * bn, bt);
          continue;
        }
        const [lx, ly, distance] = facing(px, py, qx, qy), [vn, vt, an, , bn] = this.relative(i, other, rows, lx, ly, px, py, qx, qy);
        const seen = [share, lx * nx + ly * ny, lx * tx + ly * ty], moving = [vn, hand * vt, hand * an, hand * bn];
        if (joint.sort === SPRING) {
          let softness = (1 + an * an) / mass[i];
          if (other >= 0) softness += (1 + bn * bn) / mass[other];
          write("coil", other, ...seen, joint.stiffness * (joint.length - distance) * dt / mass[i], 100 * (1 - Math.exp(-joint.damping * softness * dt)), ...moving);
        } else write(joint.sort === ROD ? "link" : "tie", other, ...seen, distance - joint.length, ...moving);
      }
      for (const c of near[i]) {
        const mine = c.body === i, sign = mine ? 1 : -1, other = mine ? c.partner : c.body, moves = other < n, partner = moves ? other : -1;
        const cx = sign * c.nx, cy = sign * c.ny, [bx, by] = moves ? [0, 0] : this.belts[other - n], belt = by * cx - bx * cy;
        const numbers = [restitution[i] * restitution[other], friction[i] * friction[other], moves ? mass[other] / (mass[i] + mass[other]) : 1, cx * nx + cy * ny, cx * tx + cy * ty];
        const [p, q] = c.points, backwards = q && hand * ((q.x - p.x) * cy - (q.y - p.y) * cx) < 0;
        for (const { x, y, gap } of backwards ? [q, p] : c.points) {
          const [vn, vt, an, ac, bn, bt] = this.relative(i, partner, rows, cx, cy, x, y, x, y);
          numbers.push(gap - vn * dt, gap, vn, hand * (vt - belt), hand * an, ac, hand * bn, bt);
        }
        write(q ? "touch2" : "touch", partner, ...numbers);
      }
      for (const field of fields) {
        if (field.sort === WIND) {
          const across = 2 * (this.solids.kind[i] === CIRCLE ? this.solids.wide[i] : reach(this.scene.bodies[i]));
          const dx = field.velocity[0] - row[VX], dy = field.velocity[1] - row[VY];
          write("air", null, dx * nx + dy * ny, dx * tx + dy * ty, 100 * (1 - Math.exp(-field.drag * across / mass[i] * dt)));
          continue;
        }
        for (const other of field.sort === POLE ? [-1] : this.strongest(i, field.softening)) {
          const [px, py] = other < 0 ? field.center : [xs[other], ys[other]], strength = other < 0 ? field.strength : field.strength * mass[other];
          const [ux, uy, distance] = facing(xs[i], ys[i], px, py);
          write("pull", null, ux * nx + uy * ny, ux * tx + uy * ty, distance, field.softening, strength / 1e4);
        }
      }
      listed.push({ body: i, nx, ny, hand, lines });
    }
    return listed;
  }

  // The islands of a frame: [{bodies: [those whose answer is taken from it], named: [those that it lists], ids}].
  documents(listed) {
    const parent = Array.from({ length: this.n }, (_, k) => k);
    const root = (k) => { while (parent[k] !== k) k = parent[k]; return k; };
    for (const { lines } of listed) for (const { own, partner } of lines) {
      if (partner === null || partner < 0) continue;
      const a = root(own), b = root(partner);
      parent[Math.max(a, b)] = Math.min(a, b);
    }
    const islands = new Map();
    for (const one of listed) {
      const key = root(one.body);
      if (!islands.has(key)) islands.set(key, []);
      islands.get(key).push(one);
    }
    const whole = this.n <= this.text.mostBodies; // names are the numbers of the bodies
    return [...islands.values()].flatMap((island) => (whole ? [this.document(island, island.map(({ body }) => body), null)] : this.short(island)));
  }

  // named: the bodies that a document calls o0, o1 ...; null: it calls them by their number.
  document(island, bodies, named) {
    const place = named && new Map(named.map((body, k) => [body, k])), first = this.text.firstBody;
    const name = (body) => (body < 0 || (place && !place.has(body)) ? this.word.fixed : first + (place ? place.get(body) : body));
    const ids = [], kept = island.filter(({ body }) => !place || place.has(body));
    for (const { lines } of kept) for (const { word, own, partner, numbers } of lines) {
      ids.push(this.word[word], name(own));
      if (partner !== null) ids.push(name(partner));
      for (const number of numbers) ids.push(this.text.base + indexOf(number));
    }
    ids.push(this.word.next);
    const all = kept.map(({ body }) => body);
    return { ids, asked: all, names: all.map(name), bodies: new Set(bodies) };
  }

  // An island of a crowd as one document, or as several where it has more bodies than there are names.
  short(island) {
    const bodies = island.map(({ body }) => body), { mostBodies, own: ownMost, around } = this.text;
    if (bodies.length <= mostBodies) return [this.document(island, bodies, bodies)];
    const near = new Map(bodies.map((body) => [body, []])), left = new Set(bodies), found = [];
    for (const { lines } of island) for (const { own, partner } of lines) if (partner !== null && partner >= 0) { near.get(own).push(partner); near.get(partner).push(own); }
    const spread = (start, most, among) => {
      const reached = new Set(start), order = [...start];
      for (let at = 0; at < order.length && reached.size < most; at++) for (const body of near.get(order[at])) {
        if (among.has(body) && !reached.has(body) && reached.size < most) { reached.add(body); order.push(body); }
      }
      return order;
    };
    while (left.size) {
      const [start] = left, own = spread([start], ownMost, left);
      for (const body of own) left.delete(body);
      found.push(this.document(island, own, spread(own, around, new Set(bodies)).sort((a, b) => a - b)));
    }
    return found;
  }

  // The next state. answers: body -> [numbers as ids] or the id of `coast` or `rest`.
  apply(rows, listed, answers) {
    const { dt, gravity } = this;
    const next = rows.map(([x, y, angle, vx, vy, spin]) => [x + vx * dt, y + vy * dt, angle + spin * dt, vx + gravity[0] * dt, vy + gravity[1] * dt, spin]);
    for (const { body, nx, ny, hand } of listed) {
      const said = answers.get(body), row = next[body];
      const [dn, dt_, ds, push] = Array.isArray(said) ? said.map((id) => valueOf(id - this.text.base)) : [0, 0, 0, 0];
      row[VX] += dn * nx - hand * dt_ * ny;
      row[VY] += dn * ny + hand * dt_ * nx;
      row[SPIN] += hand * ds / this.gyration[body];
      row[X] += push * nx * dt;
      row[Y] += push * ny * dt;
      if (said === this.word.rest) row[VX] = row[VY] = row[SPIN] = 0;
    }
    return next;
  }
}

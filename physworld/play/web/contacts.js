// Which bodies touch, and where: physworld/sim/contacts.py, step by step, so that both give the same numbers.
export const CIRCLE = 0, RECT = 1, SEGMENT = 2;

// A scene's bodies, then its static shapes.
export function solids(scene) {
  const kind = [], wide = [], high = [], rounding = [], friction = [], restitution = [], pose = [];
  for (const body of scene.bodies) {
    const circle = body.shape === "circle";
    kind.push(circle ? CIRCLE : RECT);
    wide.push(circle ? body.size[0] : body.size[0] / 2);
    high.push(circle ? 0 : body.size[1] / 2);
    rounding.push(0); friction.push(body.friction); restitution.push(body.restitution);
  }
  for (const part of scene.static) {
    friction.push(part.friction); restitution.push(part.restitution); high.push(0);
    if (part.type === "peg") { kind.push(CIRCLE); wide.push(part.radius); rounding.push(0); pose.push([...part.center, 0]); continue; }
    const [ax, ay] = part.start, [bx, by] = part.end;
    kind.push(SEGMENT); wide.push(Math.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay)) / 2); rounding.push(part.radius);
    pose.push([(ax + bx) / 2, (ay + by) / 2, Math.atan2(by - ay, bx - ax)]);
  }
  const shapes = { kind, wide, high, rounding, friction, restitution, pose, count: scene.bodies.length, total: kind.length };
  shapes.corners = new Float64Array(8 * kind.length); // x, y of four corners
  shapes.box = new Float64Array(4 * kind.length); // lowest x, highest x, lowest y, highest y
  pose.forEach(([x, y, angle], k) => place(shapes, scene.bodies.length + k, x, y, angle));
  return shapes;
}

// Corners (a rectangle's counter-clockwise) and box of shape i at a pose.
function place({ kind, wide, high, rounding, corners, box }, i, x, y, angle) {
  const hx = wide[i], hy = high[i];
  let w = hx, h = hx;
  if (kind[i] !== CIRCLE) {
    const c = Math.cos(angle), s = Math.sin(angle);
    w = Math.abs(c) * hx + Math.abs(s) * hy + rounding[i]; h = Math.abs(s) * hx + Math.abs(c) * hy + rounding[i];
    if (kind[i] === SEGMENT) {
      corners[8 * i] = x - c * hx; corners[8 * i + 1] = y - s * hx;
      corners[8 * i + 2] = x + c * hx; corners[8 * i + 3] = y + s * hx;
    } else {
      for (let k = 0; k < 4; k++) {
        const u = k === 1 || k === 2 ? hx : -hx, v = k >= 2 ? hy : -hy;
        corners[8 * i + 2 * k] = x + c * u - s * v; corners[8 * i + 2 * k + 1] = y + s * u + c * v;
      }
    }
  }
  box[4 * i] = x - w; box[4 * i + 1] = x + w; box[4 * i + 2] = y - h; box[4 * i + 3] = y + h;
}

// [gap, edge, nx, ny]: edge normal of shape a with the largest gap to shape b, out of a.
function bestAxis(corners, a, na, b, nb) {
  let best = -1e18, edge = 0, bestX = 0, bestY = 0;
  for (let i = 0; i < na; i++) {
    const j = (i + 1) % na, x = corners[8 * a + 2 * i], y = corners[8 * a + 2 * i + 1];
    const ex = corners[8 * a + 2 * j] - x, ey = corners[8 * a + 2 * j + 1] - y, length = Math.sqrt(ex * ex + ey * ey);
    if (length === 0) continue;
    const nx = ey / length, ny = -ex / length;
    let low = 1e18;
    for (let k = 0; k < nb; k++) low = Math.min(low, (corners[8 * b + 2 * k] - x) * nx + (corners[8 * b + 2 * k + 1] - y) * ny);
    if (low > best) { best = low; edge = i; bestX = nx; bestY = ny; }
  }
  return [best, edge, bestX, bestY];
}

// [points, nx, ny] with the normal from a to b; the points go into `found`.
function polygons(corners, a, na, b, nb, rounding, margin, found) {
  const [gapA, edgeA, ax, ay] = bestAxis(corners, a, na, b, nb);
  if (gapA - rounding > margin) return [0, ax, ay];
  const [gapB, edgeB, bx, by] = bestAxis(corners, b, nb, a, na);
  if (gapB - rounding > margin) return [0, bx, by];
  const swapped = gapB > gapA + 1e-3;
  const [ref, nr, inc, ni, edge, nx, ny] = swapped ? [b, nb, a, na, edgeB, bx, by] : [a, na, b, nb, edgeA, ax, ay];
  const X = (shape, k) => corners[8 * shape + 2 * k], Y = (shape, k) => corners[8 * shape + 2 * k + 1];
  let lowest = 1e18, first = 0;
  for (let i = 0; i < ni; i++) {
    const j = (i + 1) % ni, depth = (X(inc, i) + X(inc, j)) * nx + (Y(inc, i) + Y(inc, j)) * ny;
    if (depth < lowest - 1e-9) { lowest = depth; first = i; }
  }
  const r0x = X(ref, edge), r0y = Y(ref, edge), r1x = X(ref, (edge + 1) % nr), r1y = Y(ref, (edge + 1) % nr);
  const length = Math.sqrt((r1x - r0x) * (r1x - r0x) + (r1y - r0y) * (r1y - r0y)), tx = (r1x - r0x) / length, ty = (r1y - r0y) / length;
  const p = first, q = (first + 1) % ni;
  const pT = (X(inc, p) - r0x) * tx + (Y(inc, p) - r0y) * ty, qT = (X(inc, q) - r0x) * tx + (Y(inc, q) - r0y) * ty;
  const pN = (X(inc, p) - r0x) * nx + (Y(inc, p) - r0y) * ny, qN = (X(inc, q) - r0x) * nx + (Y(inc, q) - r0y) * ny;
  let count = 0, last = -1e18;
  for (let end = 0; end < 2; end++) {
    let [at, depth] = end === 0 ? [pT, pN] : [qT, qN];
    const bound = Math.min(Math.max(at, 0), length);
    if (bound !== at && Math.abs(qT - pT) > 1e-9) {
      const share = (bound - pT) / (qT - pT);
      if (share < 0 || share > 1) continue;
      depth = pN + share * (qN - pN);
    } else if (bound !== at) continue;
    if (count === 1 && Math.abs(bound - last) < 1e-6) continue;
    last = bound;
    const middle = swapped ? (depth - rounding) / 2 : (depth + rounding) / 2;
    found[count] = { gap: depth - rounding, x: r0x + tx * bound + nx * middle, y: r0y + ty * bound + ny * middle };
    count++;
  }
  if (count === 0) { // past each other's ends
    const near = pN < qN ? p : q, at = near === p ? pT : qT, beyond = Math.max(-at, at - length, 0), above = Math.max(Math.min(pN, qN), 0);
    found[0] = { gap: Math.sqrt(above * above + beyond * beyond) - rounding, x: X(inc, near), y: Y(inc, near) };
    count = 1;
  }
  return swapped ? [count, -nx, -ny] : [count, nx, ny];
}

// [1, nx, ny], normal from the polygon to the disc.
function discPolygon(cx, cy, radius, corners, other, n, rounding, found) {
  let inside = n > 2, deepest = -1e18, inX = 0, inY = 1, best = 1e18, nearX = 0, nearY = 0;
  for (let i = 0; i < (n > 2 ? n : 1); i++) {
    const j = (i + 1) % n, x = corners[8 * other + 2 * i], y = corners[8 * other + 2 * i + 1];
    const ex = corners[8 * other + 2 * j] - x, ey = corners[8 * other + 2 * j + 1] - y, dx = cx - x, dy = cy - y;
    const square = ex * ex + ey * ey, length = square > 0 ? Math.sqrt(square) : 1, out = (dx * ey - dy * ex) / length;
    if (out > 0) inside = false;
    if (out > deepest) { deepest = out; inX = ey / length; inY = -ex / length; }
    const t = square > 0 ? Math.min(Math.max((dx * ex + dy * ey) / square, 0), 1) : 0;
    const px = x + t * ex, py = y + t * ey, d = (cx - px) * (cx - px) + (cy - py) * (cy - py);
    if (d < best) { best = d; nearX = px; nearY = py; }
  }
  let nx = inX, ny = inY, distance = Math.sqrt(best);
  if (inside) distance = deepest;
  else if (distance > 1e-9) { nx = (cx - nearX) / distance; ny = (cy - nearY) / distance; }
  const gap = distance - radius - rounding, offset = radius + gap / 2;
  found[0] = { gap, x: cx - nx * offset, y: cy - ny * offset };
  return [1, nx, ny];
}

// Contacts of the bodies at x, y, angle that are closer than `margin`: {body, partner, nx, ny, points}.
export function findContacts(shapes, xs, ys, angles, margin) {
  const { kind, wide, rounding, corners, box, pose, count: n, total } = shapes, most = 8 * n + 64, all = [];
  for (let i = 0; i < n; i++) place(shapes, i, xs[i], ys[i], angles[i]);
  for (let i = 0; i < n; i++) {
    const left = box[4 * i] - margin, right = box[4 * i + 1] + margin, low = box[4 * i + 2] - margin, high = box[4 * i + 3] + margin;
    for (let j = i + 1; j < total; j++) {
      if (!(box[4 * j] <= right && box[4 * j + 1] >= left && box[4 * j + 2] <= high && box[4 * j + 3] >= low)) continue;
      if (all.length === most) return all;
      const sides = kind[j] === SEGMENT ? 2 : 4, [xj, yj] = j < n ? [xs[j], ys[j]] : pose[j - n], points = [];
      let found = 0, nx = 0, ny = 0;
      if (kind[i] === CIRCLE && kind[j] === CIRCLE) {
        const dx = xs[i] - xj, dy = ys[i] - yj, d = Math.sqrt(dx * dx + dy * dy);
        [nx, ny] = d > 1e-9 ? [dx / d, dy / d] : [0, 1];
        const gap = d - wide[i] - wide[j], offset = wide[i] + gap / 2;
        points[0] = { gap, x: xs[i] - nx * offset, y: ys[i] - ny * offset };
        found = 1;
      } else if (kind[i] === CIRCLE) [found, nx, ny] = discPolygon(xs[i], ys[i], wide[i], corners, j, sides, rounding[j], points);
      else if (kind[j] === CIRCLE) { [found, nx, ny] = discPolygon(xj, yj, wide[j], corners, i, 4, 0, points); nx = -nx; ny = -ny; }
      else [found, nx, ny] = polygons(corners, j, sides, i, 4, rounding[j], margin, points);
      if (found === 0) continue;
      if (found === 2 && points[0].gap > margin) points.shift();
      else if (found === 2 && points[1].gap > margin) points.pop();
      if (points[0].gap > margin) continue;
      all.push({ body: i, partner: j, nx, ny, points });
    }
  }
  return all;
}

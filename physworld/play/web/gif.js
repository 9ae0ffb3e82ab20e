// An animated GIF (89a), written as its pictures are drawn: one palette, LZW, and of each picture only what changed.
const COLOURS = 255, CLEAR = 256, END = 257, FIRST = 258, CODES = 4096, SAMPLED = 48; // pictures that the palette is made from

// A colour's place among 32 × 32 × 32.
const cell = (pixels, at) => ((pixels[at] >> 3) << 10) | ((pixels[at + 1] >> 3) << 5) | (pixels[at + 2] >> 3);

// The commonest colours, and for each of the 32,768 cells the nearest of them.
export function paletteOf(counts, sums) {
  const used = [...counts.keys()].filter((k) => counts[k]).sort((a, b) => counts[b] - counts[a] || a - b), kept = used.slice(0, COLOURS);
  const colours = kept.map((k) => [0, 1, 2].map((c) => Math.round(sums[3 * k + c] / counts[k]))), nearest = new Uint8Array(counts.length);
  kept.forEach((k, number) => { nearest[k] = number; });
  const full = (k) => [(k >> 10) << 3, ((k >> 5) & 31) << 3, (k & 31) << 3];
  const find = (k) => {
    const [r, g, b] = full(k);
    let best = 0, least = Infinity;
    colours.forEach(([x, y, z], number) => { const off = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2; if (off < least) { least = off; best = number; } });
    return best;
  };
  const known = new Uint8Array(counts.length);
  for (const k of kept) known[k] = 1;
  return { colours, place: (k) => { if (!known[k]) { nearest[k] = find(k); known[k] = 1; } return nearest[k]; } };
}

// LZW as GIF has it: codes of 9 to 12 bits, the lowest bit first, in blocks of at most 255 bytes.
export function lzw(pixels) {
  const bytes = [], table = new Uint16Array(CODES * 256);
  let width = 9, next = FIRST, held = 0, bits = 0;
  const put = (code) => {
    held |= code << bits;
    for (bits += width; bits >= 8; bits -= 8) { bytes.push(held & 255); held >>>= 8; }
  };
  put(CLEAR);
  let prefix = pixels[0];
  for (let at = 1; at < pixels.length; at++) {
    const pixel = pixels[at], known = table[prefix * 256 + pixel];
    if (known) { prefix = known; continue; }
    put(prefix);
    if (next < CODES) {
      if (next === 1 << width) width++;
      table[prefix * 256 + pixel] = next++;
    } else { put(CLEAR); table.fill(0); width = 9; next = FIRST; }
    prefix = pixel;
  }
  put(prefix);
  if (next === 1 << width && width < 12) width++; // the reader adds an entry here, too
  put(END);
  if (bits) bytes.push(held & 255);
  const out = [8];
  for (let at = 0; at < bytes.length; at += 255) out.push(Math.min(255, bytes.length - at), ...bytes.slice(at, at + 255));
  out.push(0);
  return Uint8Array.from(out);
}

const two = (value) => [value & 255, value >> 8];

// count pictures of size [w, h], drawn by picture(k) -> RGBA bytes; `seconds` of one. rest() lets the page breathe.
export async function gif(count, [w, h], seconds, picture, rest = async () => {}) {
  const counts = new Uint32Array(32768), sums = new Float64Array(3 * 32768), step = Math.max(1, Math.floor(count / SAMPLED));
  for (let k = 0; k < count; k += step) {
    const pixels = picture(k);
    for (let at = 0; at < pixels.length; at += 4) { const c = cell(pixels, at); counts[c]++; for (let i = 0; i < 3; i++) sums[3 * c + i] += pixels[at + i]; }
    await rest();
  }
  const { colours, place } = paletteOf(counts, sums), table = new Uint8Array(768);
  colours.forEach((colour, number) => table.set(colour, 3 * number));
  const parts = [Uint8Array.from([..."GIF89a"].map((c) => c.charCodeAt(0)).concat(two(w), two(h), [0xf7, 0, 0])), table,
    Uint8Array.from([0x21, 0xff, 11, ...[..."NETSCAPE2.0"].map((c) => c.charCodeAt(0)), 3, 1, 0, 0, 0])];
  let last = null;
  for (let k = 0; k < count; k++) {
    const pixels = picture(k), now = new Uint8Array(w * h);
    for (let at = 0; at < now.length; at++) now[at] = place(cell(pixels, 4 * at));
    let [left, top, right, bottom] = last ? [w, h, -1, -1] : [0, 0, w - 1, h - 1];
    if (last) for (let y = 0, at = 0; y < h; y++) for (let x = 0; x < w; x++, at++) if (now[at] !== last[at]) { left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = y; }
    if (right < 0) left = top = right = bottom = 0; // nothing changed: one pixel
    const wide = right - left + 1, high = bottom - top + 1, part = new Uint8Array(wide * high);
    for (let y = 0; y < high; y++) part.set(now.subarray((top + y) * w + left, (top + y) * w + left + wide), y * wide);
    const delay = Math.round(100 * seconds * (k + 1)) - Math.round(100 * seconds * k); // hundredths of a second add up
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 4, ...two(delay), 0, 0, 0x2c, ...two(left), ...two(top), ...two(wide), ...two(high), 0]), lzw(part));
    last = now;
    await rest();
  }
  parts.push(Uint8Array.of(0x3b));
  return parts;
}

// One token per number, as physworld/text/codecs/numbers.py has them: four significant digits, at most three decimals.
export const MAGNITUDES = 37000, LARGEST = 9999;

// Halves go to the even neighbour, as in Python.
const round = (x) => { const up = Math.round(x); return up - x === 0.5 && up % 2 ? up - 1 : up; };

export function indexOf(value) {
  if (Number.isNaN(value)) return 0;
  const size = Math.min(Math.abs(value), LARGEST);
  let scale = 1000, first = 0;
  if (size >= 9.9995) { scale = 100; first = 9000; }
  if (size >= 99.995) { scale = 10; first = 18000; }
  if (size >= 999.95) { scale = 1; first = 27000; }
  const index = first + round(size * scale);
  return value < 0 && index > 0 ? index + MAGNITUDES - 1 : index;
}

export function valueOf(index) {
  if (index >= MAGNITUDES) return -valueOf(index - MAGNITUDES + 1);
  if (index < 10000) return index / 1000;
  if (index < 19000) return (index - 9000) / 100;
  if (index < 28000) return (index - 18000) / 10;
  return index - 27000;
}

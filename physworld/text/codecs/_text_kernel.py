"""Compiled writer of `engine` and `card` frames.

Both formats have the same body lines, and both the text's bytes and its tokens are single bytes (a word tokenizer's
ids stay below 256), so one function writes either: fixed pieces come in as codes, digits follow each other in both.

Everything compiled is in this one file, because numba does not notice when a function changes in another one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BOUND = 1e18  # numbers stay below it, so that their whole part fits 64 bits
LABEL = 3  # words of 8 codes for the longest piece before a body's first number
# Codes of one body's line at most: label, 6 numbers of 1 + 18 + 1 + 4 codes, pieces, and what `_word` spills.
LINE_ROOM = 8 * LABEL + 6 * 24 + 24 + 8
# Places among the pieces: at rest, in motion, of, moving; comma, velocity, close, angle, spin.
OF, MOVING, COMMA = 2, 3, 4

_U = np.uint64
_SPLITTER = 134217729.0  # 2^27 + 1: Dekker's, halves the 53 bits of a float64


@njit
def _word(out, at, word):
    """Write the 8 codes that `word` holds, lowest byte first; the caller moves on by as many as it wants to keep."""
    for k in range(8):
        out[at + _U(k)] = np.uint8(word >> _U(8 * k))


@njit
def _four(number, zero):
    """Codes of the 4 digits of a whole number below 10,000, first digit in the lowest byte."""
    high = (number * _U(5243)) >> _U(19)  # number // 100
    pair = high | ((number - high * _U(100)) << _U(16))
    tens = ((pair * _U(103)) >> _U(10)) & _U(0x000F000F)  # each half // 10
    return (tens | ((pair - tens * _U(10)) << _U(8))) + zero * _U(0x01010101)


@njit
def _product_error(a, b, product):
    """a·b - product, exactly, for product = fl(a·b) (Dekker 1971)."""
    split = _SPLITTER * a
    a_high = split - (split - a)
    a_low = a - a_high
    split = _SPLITTER * b
    b_high = split - (split - b)
    b_low = b - b_high
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


@njit
def _number(out, at, value, printed, zero, minus, dot):
    """Write `value`, smaller than BOUND, as "%.{decimals}f" does; returns where it ends. `printed`: see write_frames.

    printf rounds the exact value of the float64, ties to even. A tie in the rounded product part·scale is no tie, but
    just above or below one, when that product has an error; other products lie on the same side of it as the exact one.
    """
    scale, limit, pad, tail = printed
    out[at] = np.uint8(minus)
    at += _U(math.copysign(1.0, value) < 0.0)  # -0.0 too
    size = abs(value)
    whole = np.int64(size)
    part = size - whole  # exact
    product = part * scale
    rounded = np.int64(np.rint(product))
    if abs(product - rounded) == 0.5:
        error = _product_error(part, scale, product)
        if error > 0.0:
            rounded = np.int64(math.ceil(product))
        elif error < 0.0:
            rounded = np.int64(math.floor(product))
    if rounded == limit:
        whole, rounded = whole + 1, np.int64(0)
    left = _U(whole)
    if left < _U(10_000):
        digits = _U(1) + _U(left > _U(9)) + _U(left > _U(99)) + _U(left > _U(999))
        _word(out, at, _four(left, zero) >> (_U(8) * (_U(4) - digits)))
        at += digits
    else:
        digits, power = _U(5), _U(100_000)
        while left >= power and digits < _U(19):
            power *= _U(10)
            digits += _U(1)
        for k in range(digits):
            out[at + digits - _U(1) - k] = np.uint8(zero + left % _U(10))
            left //= _U(10)
        at += digits
    out[at] = np.uint8(dot)
    _word(out, at + _U(1), _four(_U(rounded) * pad, zero))
    return at + tail


@njit
def _whole(out, at, number, zero):
    """Write a count; returns where it ends."""
    digits, power = _U(1), _U(10)
    while _U(number) >= power:
        power *= _U(10)
        digits += _U(1)
    left = _U(number)
    for k in range(digits):
        out[at + digits - _U(1) - k] = np.uint8(zero + left % _U(10))
        left //= _U(10)
    return at + digits


@njit
def _piece(out, at, pieces, starts, which):
    for k in range(starts[which], starts[which + 1]):
        out[at] = pieces[k]
        at += _U(1)
    return at


@njit(cache=True)
def write_frames(
    position, velocity, angle, spin, moving, decimals, turned, signs, pieces, starts, labels, lengths, out, lines
):  # fmt: skip
    """Write what follows `Frame t:` of T frames: how many bodies move, and the bodies' lines.

    Args:
        position, velocity: (T, N, 2); angle, spin: (T, N).
        moving: px/s, a body moves when a component of its velocity is above this.
        decimals: 1-4.
        turned: rad and rad/s; angle and spin are written when one is above it, never when it is infinite.
        signs: codes of 0, minus and dot.
        pieces, starts: codes of the nine pieces, one after the other; the last five have at most 8 each. Where the
            first two are empty, frames in which nothing or everything moves are described like all others.
        labels, lengths: (N, LABEL) words of 8 codes, and how many of them count: what comes before a body's X.
        out: room for all of it.
        lines: (T, N + 1) to fill: where each frame's first body line begins, and where each line ends.

    Returns:
        -1, or the index (t·N + body) of a state with a number that is NaN or not below BOUND.
    """
    frames, count = angle.shape
    zero, minus, dot = _U(signs[0]), signs[1], signs[2]
    # 10^decimals as a factor and as a count; what makes 4 digits of `decimals`; codes from the dot on
    printed = (10.0**decimals, np.int64(10**decimals), _U(10 ** (4 - decimals)), _U(1 + decimals))
    words, sizes = np.zeros(5, np.uint64), np.zeros(5, np.uint64)
    for p in range(5):
        first, last = starts[COMMA + p], starts[COMMA + p + 1]
        sizes[p] = last - first
        for k in range(last - first):
            words[p] |= _U(pieces[first + k]) << _U(8 * k)
    comma, middle, close, turn, whirl = words[0], words[1], words[2], words[3], words[4]
    n_comma, n_middle, n_close, n_turn, n_whirl = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    at = _U(0)
    for t in range(frames):
        moved = 0
        for i in range(count):
            moved += abs(velocity[t, i, 0]) > moving or abs(velocity[t, i, 1]) > moving
        special = 0 if moved == 0 else 1 if moved == count else 2
        if special < 2 and starts[special] < starts[special + 1]:
            at = _piece(out, at, pieces, starts, special)
        else:
            at = _whole(out, at, moved, zero)
            at = _piece(out, at, pieces, starts, OF)
            at = _whole(out, at, count, zero)
            at = _piece(out, at, pieces, starts, MOVING)
        lines[t, 0] = at
        for i in range(count):
            x, y, vx, vy = position[t, i, 0], position[t, i, 1], velocity[t, i, 0], velocity[t, i, 1]
            # a comparison with NaN is false
            if not (abs(x) < BOUND and abs(y) < BOUND and abs(vx) < BOUND and abs(vy) < BOUND):
                return t * count + i
            for k in range(LABEL):
                _word(out, at + _U(8 * k), labels[i, k])
            at += lengths[i]
            at = _number(out, at, x, printed, zero, minus, dot)
            _word(out, at, comma)
            at = _number(out, at + n_comma, y, printed, zero, minus, dot)
            _word(out, at, middle)
            at = _number(out, at + n_middle, vx, printed, zero, minus, dot)
            _word(out, at, comma)
            at = _number(out, at + n_comma, vy, printed, zero, minus, dot)
            _word(out, at, close)
            at += n_close
            if turned < math.inf:
                a, w = angle[t, i], spin[t, i]
                if not (abs(a) <= turned and abs(w) <= turned):
                    if not (abs(a) < BOUND and abs(w) < BOUND):
                        return t * count + i
                    _word(out, at, turn)
                    at = _number(out, at + n_turn, a, printed, zero, minus, dot)
                    _word(out, at, whirl)
                    at = _number(out, at + n_whirl, w, printed, zero, minus, dot)
            lines[t, i + 1] = at
    return -1

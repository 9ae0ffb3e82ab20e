"""One block of `gpt.GPT` for a few new positions on a CPU, compiled: what PyTorch takes thirty calls for, most of which
cost more than their arithmetic. The same sums as `gpt_blocks.Block`, in another order.

Shape suffixes as in gpt.py; T positions so far of the longest row, C numbers of a body's code.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

EPSILON = float(np.finfo(np.float32).eps)  # of PyTorch's rms_norm
FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums in any order; infinities stay what they are


@njit(cache=True, fastmath=FAST)
def nearness(codes_N2C, known_BTC, row_N, at_N):
    """(N, 4, T): how alike the body or the partner of a position, and that of each one up to it, are."""
    N, C = len(codes_N2C), codes_N2C.shape[2]
    found = np.zeros((N, 4, at_N.max() + 1), np.float32)
    for n in range(N):
        for t in range(at_N[n] + 1):
            for a in range(2):
                for b in range(2):
                    total = np.float32(0)
                    for c in range(C):
                        total += codes_N2C[n, a, c] * known_BTC[row_N[n], t, b * C + c]
                    found[n, 2 * a + b, t] = total
    return found


@njit(cache=True, fastmath=FAST)
def _normed(x_ND):
    found = np.empty_like(x_ND)
    for n in range(len(x_ND)):
        total = np.float32(0)
        for d in range(x_ND.shape[1]):
            total += x_ND[n, d] * x_ND[n, d]
        size = np.float32(1 / math.sqrt(total / x_ND.shape[1] + EPSILON))
        for d in range(x_ND.shape[1]):
            found[n, d] = x_ND[n, d] * size
    return found


@njit(cache=True, fastmath=FAST)
def _turned(x_E, cos, sin):
    """Normalise a head's query or key and turn it, in place."""
    half, total = len(x_E) // 2, np.float32(0)
    for e in range(len(x_E)):
        total += x_E[e] * x_E[e]
    size = np.float32(1 / math.sqrt(total / len(x_E) + EPSILON))
    for e in range(half):
        a, b = x_E[e] * size, x_E[e + half] * size
        x_E[e], x_E[e + half] = a * cos[e] - b * sin[e], a * sin[e] + b * cos[e]


@njit(cache=True, fastmath=FAST)
def block(x_ND, row_N, at_N, cos, sin, near_N4T, relation_4H, qkv, out, up, down, keys_BHTE, values_BHTE):
    """Change x_ND in place, and write its keys and values into the cache.

    Args:
        row_N, at_N: row of the cache and place in it of each position.
        cos, sin: (N, E / 2) of the rotary angles.
        near_N4T: see `nearness`; of no places where nothing is known of bodies.
        relation_4H: what that adds to a score.
        qkv, out, up, down: weights as PyTorch has them.
    """
    N, D = x_ND.shape
    H, E = keys_BHTE.shape[1], keys_BHTE.shape[3]
    scale = np.float32(E**-0.5)
    qkv_NX = np.dot(_normed(x_ND), qkv.T)
    for n in range(N):
        for h in range(H):
            q, k = qkv_NX[n, h * E : (h + 1) * E], qkv_NX[n, D + h * E : D + (h + 1) * E]
            _turned(q, cos[n], sin[n])
            _turned(k, cos[n], sin[n])
            for e in range(E):
                keys_BHTE[row_N[n], h, at_N[n], e] = k[e]
                values_BHTE[row_N[n], h, at_N[n], e] = qkv_NX[n, 2 * D + h * E + e]
    heard_ND = np.zeros_like(x_ND)
    score = np.empty(at_N.max() + 1, np.float32)
    for n in range(N):
        end = at_N[n] + 1
        for h in range(H):
            keys, values, most = keys_BHTE[row_N[n], h], values_BHTE[row_N[n], h], np.float32(-1e30)
            for t in range(end):
                total = np.float32(0)
                for e in range(E):
                    total += qkv_NX[n, h * E + e] * keys[t, e]
                total *= scale
                if near_N4T.shape[2]:
                    for r in range(4):
                        total += relation_4H[r, h] * near_N4T[n, r, t]
                score[t] = total
                most = max(most, total)
            total = np.float32(0)
            for t in range(end):
                score[t] = math.exp(score[t] - most)
                total += score[t]
            for t in range(end):
                share = score[t] / total
                for e in range(E):
                    heard_ND[n, h * E + e] += share * values[t, e]
    x_ND += np.dot(heard_ND, out.T)
    wide = np.dot(_normed(x_ND), up.T)
    for n in range(N):
        for d in range(wide.shape[1]):
            one = max(wide[n, d], np.float32(0))
            wide[n, d] = one * one
    x_ND += np.dot(wide, down.T)

"""Hashed lattice noise: a random function of time that can be evaluated anywhere, without state.

It uses only integer operations and IEEE additions, multiplications and divisions, element by element. So a value is the
same on every machine and in every computed range.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = (np.uint64(n) for n in (27, 30, 31))
_MASK = (1 << 64) - 1


def hashed(key: int, index: Ints) -> Hashes:
    """64 random bits for each of `index`, by splitmix64."""
    x = index.astype(np.uint64)
    x *= _GOLDEN
    x += np.uint64(key)
    x ^= x >> _S30
    x *= _MIX_1
    x ^= x >> _S27
    x *= _MIX_2
    x ^= x >> _S31
    return x


def key_of(seed: int, *parts: object) -> int:
    """A 64-bit key for one named stream of noise; stable across processes."""
    value = (seed * 0x9E3779B97F4A7C15 + 1) & _MASK
    for byte in "\0".join(map(str, parts)).encode():
        value = ((value ^ byte) * 0x100000001B3) & _MASK
    return int(hashed(value, np.zeros(1, np.int64))[0])


def fields(hashes: Hashes) -> tuple[Floats, Floats, Floats, Floats]:
    """Four independent numbers in [0, 1) from each hash, from 16 bits each."""
    quarters = hashes.astype("<u8", copy=False).view("<u2").reshape(-1, 4)
    a, b, c, d = (quarters[:, n] * (2.0**-16) for n in range(4))
    return a, b, c, d


def uniform(key: int, index: Ints) -> Floats:
    """A number in [0, 1) for each of `index`."""
    high = (hashed(key, index) >> np.uint64(11)).view(np.int64)
    scaled: Floats = high.astype(np.float64) * (2.0**-53)
    return scaled


def coin(key: int, index: Ints) -> Floats:
    """0 or 1 for each of `index`."""
    return (hashed(key, index) >> np.uint64(63)).astype(np.float64)


def spike(key: int, index: Ints) -> Floats:
    """A number in [0, 1) that is usually near 0: above one half once in 740 indices."""
    value = uniform(key, index)
    for _ in range(9):
        value = value * value
    return value


def interpolated(values: Floats, first: int, x: Ints, shift: int) -> Floats:
    """The line through lattice `values` (the first belongs to cell `first`, one more than cells) at each of `x`.

    A cell is ``2**shift`` wide.
    """
    cell = (x >> shift) - first
    fraction = (x & ((1 << shift) - 1)) * (2.0**-shift)
    slope = np.diff(values)
    line: Floats = values[cell] + slope[cell] * fraction
    return line


def cells(x: Ints, shift: int) -> tuple[int, Ints]:
    """The first cell of the ascending `x`, and every lattice point needed to interpolate them."""
    first, last = int(x[0]) >> shift, int(x[-1]) >> shift
    return first, np.arange(first, last + 2, dtype=np.int64)


def octave(key: int, x: Ints, shift: int, draw: Any = uniform) -> Floats:
    """One octave of lattice noise in [0, 1) at the ascending `x`; its cells are ``2**shift`` wide."""
    first, points = cells(x, shift)
    return interpolated(draw(key, points), first, x, shift)


def exponential(y: Floats) -> Floats:
    """About e**y for y > -16, from multiplications only, so the same on every machine."""
    t = y * (1.0 / 16.0)
    t += 1.0
    for _ in range(4):
        t *= t
    return t

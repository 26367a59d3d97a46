"""Hashes of many byte strings at once: the fingerprint of FarmHash, and SipHash under a key.

Strings lie as rows of a matrix of bytes, so that each step of a hash is one array operation for all of them.
The numbers are those that TensorFlow computes, and with them Keras.
"""

from __future__ import annotations

import numpy as np

# Constants of FarmHash.
_K0 = np.uint64(0xC3A5C85C97CB3127)
_K1 = np.uint64(0xB492B66FBE98F273)
_K2 = np.uint64(0x9AE16A3B2F90404F)
_KCAT = np.uint64(0xC6A4A7935BD1E995)  # of joined fingerprints
_SHORT = 64  # bytes up to which a string is hashed without a loop
_LARGEST = 1 << 24  # bytes of a matrix


def fingerprint64(strings) -> np.ndarray:
    """Return FarmHash's 64-bit fingerprints.

    Parameters
    ----------
    strings : sequence of bytes

    Returns
    -------
    array of uint64, one for each

    References
    ----------
    G. Pike, FarmHash, the function ``Fingerprint64``; its values never change.

    Examples
    --------
    >>> [f"{h:016x}" for h in fingerprint64([b"", b"a", b"hello world"])]
    ['9ae16a3b2f90404f', 'b3454265b6df75e3', '588fb7478bd6b01b']
    """
    return _in_groups(strings, _fingerprints)


def siphash24(strings, key: tuple[int, int]) -> np.ndarray:
    """Return 64-bit hashes under a key of two integers.

    Parameters
    ----------
    strings : sequence of bytes
    key : (int, int)

    References
    ----------
    Aumasson & Bernstein, SipHash: a fast short-input PRF, 2012, https://131002.net/siphash/.

    Examples
    --------
    >>> key = tuple(int.from_bytes(bytes(range(i, i + 8)), "little") for i in (0, 8))
    >>> hex(siphash24([bytes(range(15))], key)[0])  # the example of the paper
    '0xa129ca6149be45e5'
    """
    return _in_groups(strings, lambda rows, lengths: _siphash(rows, lengths, key))


def join_fingerprints(first, second) -> np.ndarray:
    """Return fingerprints of pairs, from the fingerprints (uint64) of their parts."""
    with np.errstate(over="ignore"):
        mixed = (first ^ _KCAT ^ _shift_mix(second * _KCAT) * _KCAT) * _KCAT
        return _shift_mix(_shift_mix(mixed) * _KCAT)


# ---- bytes in rows ----------------------------------------------------------------------------------------
def _in_groups(strings, hash_rows) -> np.ndarray:
    """Hash the short strings in one matrix, the long ones in several of bounded size."""
    strings = list(strings)
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    found = np.empty(len(strings), np.uint64)
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = len(order)
        if lengths[order[start]] <= _SHORT:
            stop = int(np.searchsorted(lengths, _SHORT, side="right", sorter=order))
        stop = min(stop, start + _LARGEST // _SHORT)
        while stop - start > 1 and int(lengths[order[stop - 1]]) * (stop - start) > _LARGEST:
            stop = start + (stop - start) // 2
        chosen = order[start:stop]
        sizes = lengths[chosen]
        width = max(int(sizes[-1]), _SHORT) + 8  # any eight bytes from within a string may be read
        rows = np.array([strings[i] for i in chosen.tolist()], dtype=f"S{width}")
        with np.errstate(over="ignore"):
            found[chosen] = hash_rows(rows.view(np.uint8).reshape(len(chosen), width), sizes)
        start = stop
    return found


def _words(rows, at, count=8):
    """Return the little-endian integers of ``count`` bytes at column ``at`` (one, or one for each row)."""
    if isinstance(at, (int, np.integer)):
        taken = np.ascontiguousarray(rows[:, at:at + count])
    else:
        taken = np.take_along_axis(rows, at[:, None] + np.arange(count), 1)
    return taken.view("<u8" if count == 8 else "<u4")[:, 0].astype(np.uint64)


def _rotate(x, by: int):
    """Rotate to the right."""
    return (x >> np.uint64(by)) | (x << np.uint64(64 - by))


def _shift_mix(x):
    return x ^ (x >> np.uint64(47))


# ---- FarmHash ---------------------------------------------------------------------------------------------
def _hash_two(u, v, mul):
    a = _shift_mix((u ^ v) * mul)
    return _shift_mix((v ^ a) * mul) * mul


def _fingerprints(rows, lengths):
    found = np.full(len(rows), _K2, np.uint64)
    for low, high, function in ((1, 3, _to_3), (4, 7, _to_7), (8, 16, _to_16), (17, 32, _to_32),
                                (33, 64, _to_64), (65, None, _longer)):
        chosen = lengths >= low if high is None else (lengths >= low) & (lengths <= high)
        if chosen.any():
            found[chosen] = function(rows[chosen], lengths[chosen])
    return found


def _to_3(s, n):
    i = np.arange(len(s))
    a, b, c = (s[i, at].astype(np.uint64) for at in (0 * n, n >> 1, n - 1))
    y = a + (b << np.uint64(8))
    z = n.astype(np.uint64) + (c << np.uint64(2))
    return _shift_mix(y * _K2 ^ z * _K0) * _K2


def _multiplier(n):
    return _K2 + n.astype(np.uint64) * np.uint64(2)


def _to_7(s, n):
    first = n.astype(np.uint64) + (_words(s, 0, 4) << np.uint64(3))
    return _hash_two(first, _words(s, n - 4, 4), _multiplier(n))


def _to_16(s, n):
    mul = _multiplier(n)
    a, b = _words(s, 0) + _K2, _words(s, n - 8)
    return _hash_two(_rotate(b, 37) * mul + a, (_rotate(a, 25) + b) * mul, mul)


def _to_32(s, n):
    mul = _multiplier(n)
    a, b, c, d = _words(s, 0) * _K1, _words(s, 8), _words(s, n - 8) * mul, _words(s, n - 16) * _K2
    return _hash_two(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c, mul)


def _to_64(s, n):
    mul = _multiplier(n)
    a, b, c, d = _words(s, 0) * _K2, _words(s, 8), _words(s, n - 8) * mul, _words(s, n - 16) * _K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _hash_two(y, a + _rotate(b + _K2, 18) + c, mul)
    e, f = _words(s, 16) * mul, _words(s, 24)
    g, h = (y + _words(s, n - 32)) * mul, (z + _words(s, n - 24)) * mul
    return _hash_two(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, mul)


class _State:
    """What FarmHash carries from block to block of 64 bytes."""

    def __init__(self, s):
        y = np.uint64(81) * _K1 + np.uint64(113)
        self.x = np.uint64(81) * _K2 + _words(s, 0)
        self.y = np.full(len(s), y)
        self.z = np.full(len(s), _shift_mix(y * _K2 + np.uint64(113)) * _K2)
        self.v = [np.zeros(len(s), np.uint64), np.zeros(len(s), np.uint64)]
        self.w = [np.zeros(len(s), np.uint64), np.zeros(len(s), np.uint64)]

    def mix(self, s, at, mul, nine):
        """Take in the block that begins at column ``at``; ``nine`` is 1, in the last block 9."""
        x, y, z, v, w = self.x, self.y, self.z, self.v, self.w
        x = _rotate(x + y + v[0] + _words(s, at + 8), 37) * mul
        y = _rotate(y + v[1] + _words(s, at + 48), 42) * mul
        x = x ^ w[1] * nine
        y = y + v[0] * nine + _words(s, at + 40)
        z = _rotate(z + w[0], 33) * mul
        v = _weak_hash(s, at, v[1] * mul, x + w[0])
        w = _weak_hash(s, at + 32, z + w[1], y + _words(s, at + 16))
        self.x, self.y, self.z, self.v, self.w = z, y, x, v, w


def _weak_hash(s, at, a, b):
    p, q, r, t = (_words(s, at + i) for i in (0, 8, 16, 24))
    a = a + p
    b = _rotate(b + a + t, 21)
    c = a
    a = a + q + r
    return [a + t, b + _rotate(a, 44) + c]


def _longer(s, n):
    one = np.uint64(1)
    found = np.empty(len(s), np.uint64)
    blocks = (n - 1) // 64
    # Strings are in the order of their lengths: those of one number of blocks lie together.
    for count in np.unique(blocks).tolist():
        chosen = blocks == count
        rows, sizes = s[chosen], n[chosen]
        state = _State(rows)
        for i in range(count):
            state.mix(rows, 64 * i, _K1, one)
        rest = (sizes - 1) & 63
        mul = _K1 + ((state.z & np.uint64(0xFF)) << one)
        state.w[0] = state.w[0] + rest.astype(np.uint64)
        state.v[0] = state.v[0] + state.w[0]
        state.w[0] = state.w[0] + state.v[0]
        state.mix(rows, 64 * count + rest - 63, mul, np.uint64(9))
        first = _hash_two(state.v[0], state.w[0], mul) + _shift_mix(state.y) * _K0 + state.z
        found[chosen] = _hash_two(first, _hash_two(state.v[1], state.w[1], mul) + state.x, mul)
    return found


# ---- SipHash ----------------------------------------------------------------------------------------------
def _siphash(rows, lengths, key):
    k0, k1 = (np.uint64(k % 2**64) for k in key)
    start = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    v = [np.full(len(rows), np.uint64(c) ^ k) for c, k in zip(start, (k0, k1, k0, k1))]
    columns = np.arange(rows.shape[1])
    rows = np.where(columns < lengths[:, None], rows, 0).astype(np.uint8)
    for block in range(int(lengths.max()) // 8 + 1):
        word = _words(rows, 8 * block)
        last = lengths // 8 == block  # the word in which a string ends holds its length as well
        word = np.where(last, word | (lengths.astype(np.uint64) & np.uint64(0xFF)) << np.uint64(56), word)
        after = [x.copy() for x in v]
        after[3] ^= word
        _rounds(after, 2)
        after[0] ^= word
        inside = lengths // 8 >= block
        v = [np.where(inside, new, old) for new, old in zip(after, v)]
    v[2] = v[2] ^ np.uint64(0xFF)
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _rounds(v, count: int) -> None:
    for _ in range(count):
        v[0] = v[0] + v[1]
        v[1] = _rotate(v[1], 64 - 13) ^ v[0]
        v[0] = _rotate(v[0], 32)
        v[2] = v[2] + v[3]
        v[3] = _rotate(v[3], 64 - 16) ^ v[2]
        v[0] = v[0] + v[3]
        v[3] = _rotate(v[3], 64 - 21) ^ v[0]
        v[2] = v[2] + v[1]
        v[1] = _rotate(v[1], 64 - 17) ^ v[2]
        v[2] = _rotate(v[2], 32)

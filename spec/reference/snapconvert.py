"""Numbers of one kind as those of another (spec/CODECS.md, section 4.5)."""

import math
import struct
from collections.abc import Iterator

from snapnumbers import Undecodable, need

SINGLE, HALF, BRAIN, Q8_0 = 2, 3, 4, 36
WIDTHS = {SINGLE: 4, HALF: 2, BRAIN: 2}
INFINITY = 0x7F800000


def convert(source: int, target: int, base: bytes, length: int) -> bytes:
    """The numbers of `base`, elements of the kind `source`, as `length` bytes of the kind `target`."""
    need(source in WIDTHS and target in (*WIDTHS, Q8_0) and source != target, "kinds of numbers that are not converted")
    size, each = (34, 32) if target == Q8_0 else (WIDTHS[target], 1)
    need(length % size == 0 and len(base) == length // size * each * WIDTHS[source], "bases of another length")
    numbers = list(widened(source, base))
    if target == SINGLE:
        return struct.pack(f"<{len(numbers)}I", *numbers)
    if target == Q8_0:
        return b"".join(quantised(numbers[at : at + 32]) for at in range(0, len(numbers), 32))
    return struct.pack(f"<{len(numbers)}H", *map(to_brain if target == BRAIN else to_half, numbers))


def widened(kind: int, data: bytes) -> Iterator[int]:
    """The bits of the binary32 values."""
    for (x,) in struct.iter_unpack("<I" if kind == SINGLE else "<H", data):
        yield x if kind == SINGLE else x << 16 if kind == BRAIN else of_half(x)


def of_half(x: int) -> int:
    sign, exponent, mantissa = (x & 0x8000) << 16, x >> 10 & 31, x & 0x3FF
    if exponent == 31:
        return sign | INFINITY | mantissa << 13
    value = math.ldexp(mantissa + (1024 if exponent else 0), max(exponent, 1) - 25)
    return sign | bits_of(value)


def bits_of(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def single(value: float) -> float:
    """Rounded to binary32."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def rounded(value: int, shift: int) -> int:
    """value / 2^shift, to the nearest, ties to even."""
    kept, dropped, tie = value >> shift, value & (1 << shift) - 1, 1 << shift - 1
    return kept + (dropped > tie or dropped == tie and kept % 2 == 1)


def to_brain(bits: int) -> int:
    return bits >> 16 | 0x40 if bits & 0x7FFFFFFF > INFINITY else rounded(bits, 16)


def to_half(bits: int) -> int:
    sign, exponent, mantissa = bits >> 16 & 0x8000, bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 255 and mantissa:
        return sign | 0x7E00 | mantissa >> 13
    if exponent > 142:
        return sign | 0x7C00
    if exponent > 112:
        return sign | rounded(exponent - 112 << 23 | mantissa, 13)
    return sign | (rounded(0x800000 | mantissa, 126 - exponent) if exponent > 101 else 0)


def quantised(numbers: list[int]) -> bytes:
    """A block of 32 bytes and their scale."""
    largest = max(bits & 0x7FFFFFFF for bits in numbers)
    if largest >= INFINITY:
        return bytes(34)
    # Products and quotients of binary32 numbers, rounded to binary64 first, are rounded to binary32 as if at once.
    scale = single(value_of(largest) / 127)
    if scale == 0 or 1 / scale >= 2.0**128 - 2.0**103:
        return bytes(34)
    inverse = single(1 / scale)
    products = (single(value_of(bits) * inverse) for bits in numbers)
    values = (math.copysign(math.floor(abs(product) + 0.5), product) for product in products)
    return struct.pack("<H32b", to_half(bits_of(scale)), *map(int, values))


def value_of(bits: int) -> float:
    value = struct.unpack("<f", struct.pack("<I", bits))[0]
    if not math.isfinite(value):
        raise Undecodable("not a number")
    return float(value)

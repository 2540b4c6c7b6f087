"""The codecs of numbers, planes and float difference, from spec/CODECS.md. Slow: a Python integer for each element."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace


class Undecodable(Exception):
    """The bytes are not what this codec writes."""


def need(condition: bool, message: str) -> None:
    if not condition:
        raise Undecodable(message)


@dataclass(frozen=True)
class Element:
    width: int  # in bytes
    mantissa: int | None = None  # bits; None: an integer
    fields: tuple[tuple[int, int], ...] = ()  # of a block: how many of which code
    lacking: int = 0  # bits at the end that all elements lack

    @property
    def bits(self) -> int:
        return 8 * self.width


def block(*fields: tuple[int, int]) -> Element:
    return Element(sum(count * ELEMENTS[code].width for count, code in fields), None, fields)


HALF, SINGLE, BYTE, SHORT, WORD = 3, 2, 7, 8, 9
INTEGERS = {1: 7, 2: 8, 4: 9, 8: 10}  # width: code
ELEMENTS = {
    1: Element(8, 52),
    2: Element(4, 23),
    3: Element(2, 10),
    4: Element(2, 7),
    5: Element(1, 3),
    6: Element(1, 2),
}
ELEMENTS |= {code: Element(width) for width, code in INTEGERS.items()}
ELEMENTS |= {
    32: block((1, HALF), (16, BYTE)),
    33: block((2, HALF), (16, BYTE)),
    34: block((1, HALF), (4, BYTE), (16, BYTE)),
    35: block((2, HALF), (4, BYTE), (16, BYTE)),
    36: block((1, HALF), (32, BYTE)),
    37: block((2, HALF), (32, BYTE)),
    38: block((16, BYTE), (64, BYTE), (2, HALF)),
    39: block((32, BYTE), (64, BYTE), (12, BYTE), (1, HALF)),
    40: block((2, HALF), (12, BYTE), (128, BYTE)),
    41: block((2, HALF), (12, BYTE), (32, BYTE), (128, BYTE)),
    42: block((128, BYTE), (64, BYTE), (16, BYTE), (1, HALF)),
    43: block((1, SINGLE), (256, BYTE), (16, SHORT)),
}


class Coded:
    """Coded bytes, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        need(length <= len(self.data) - self.at, "coded bytes end too early")
        self.at += length
        return self.data[self.at - length : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def end(self) -> None:
        need(self.at == len(self.data), "coded bytes are left over")

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                need((byte > 0 or shift == 0) and value < 2**64, "a varint")
                return value
        raise Undecodable("a varint of more than 64 bits")

    def string(self) -> bytes:
        return self.take(self.varint())

    def bits(self) -> "Bits":
        return Bits(self)


class Bits:
    """A bit stream (2.1) in coded bytes."""

    def __init__(self, coded: Coded) -> None:
        self.coded, self.held, self.count = coded, 0, 0

    def field(self, width: int) -> int:
        while self.count < width:
            self.held |= self.coded.u8() << self.count
            self.count += 8
        value = self.held & ((1 << width) - 1)
        self.held >>= width
        self.count -= width
        return value

    def signed(self) -> int:
        zeros = 0
        while self.field(1) == 0:
            zeros += 1
            need(zeros <= 16, "more than 16 zero bits")
        z = (1 << zeros | self.field(zeros)) - 1
        return z >> 1 if z % 2 == 0 else -(z + 1 >> 1)

    def end(self) -> None:
        need(self.held == 0, "a bit stream is not filled up with zeros")


def read_tables(bits: Bits, count: int, symbols: int) -> list[list[int]]:
    """Frequency tables (2.2)."""
    tables: list[list[int]] = []
    for _ in range(count):
        rest, table, length = bits.field(8), [0] * symbols, 0
        need(rest < symbols, "a symbol that does not exist")
        for symbol in range(symbols):
            if symbol == rest:
                continue
            length = (tables[-1][symbol].bit_length() if tables else length) + bits.signed()
            need(0 <= length <= 12, "the length of a frequency")
            kept = min(max(length - 1, 0), 4)
            if length > 0:
                table[symbol] = (1 << kept | bits.field(kept)) << (length - 1 - kept)
        table[rest] = 4096 - sum(table)
        need(table[rest] > 0, "frequencies beyond 4096")
        tables.append(table)
    return tables


def read_map(bits: Bits, contexts: int, last_table: int) -> list[int]:
    """The table of each context (4.3)."""
    tables, table = [], 0
    for _ in range(contexts):
        table += bits.signed()
        need(0 <= table <= last_table, "a table that does not exist")
        tables.append(table)
    return tables


class Symbols:
    """Coded symbols (2.3)."""

    def __init__(self, data: bytes, tables: list[list[int]]) -> None:
        self.coded, self.count = Coded(data), 0
        self.states = list(struct.unpack("<16I", self.coded.take(64)))
        need(all(1 << 15 <= state < 1 << 31 for state in self.states), "a state out of range")
        self.slots = []  # for each table and slot: symbol, frequency, slot - start
        for table in tables:
            slots = [(symbol, size, slot) for symbol, size in enumerate(table) for slot in range(size)]
            self.slots.append(slots)

    def next(self, table: int) -> int:
        lane = self.count % 16
        x = self.states[lane]
        symbol, size, within = self.slots[table][x % 4096]
        x = size * (x >> 12) + within
        if x < 1 << 15:
            x = x << 16 | self.coded.u16()
        self.states[lane] = x
        self.count += 1
        return symbol

    def end(self) -> None:
        self.coded.end()
        need(self.states == [1 << 15] * 16, "a state that does not end where it must")


def plane(coded: Coded, bits: int, count: int) -> list[int]:
    """A plane (3) of so many values."""
    mask, form = (1 << bits) - 1, coded.u8()
    if form == 0:
        packed = Coded(coded.take((count * bits + 7) // 8)).bits()
        values = [packed.field(bits) for _ in range(count)]
        packed.end()
        return values
    if form == 1:
        return [coded.u8() & mask] * count
    need(form in (2, 3), "a plane of unknown form")
    inner = Coded(coded.string())
    if form == 3:
        return [value & mask for value in expected_values(inner, count)]
    stream = inner.bits()
    tables = read_tables(stream, 1, stream.field(8) + 1)
    stream.end()
    symbols = Symbols(inner.rest(), tables)
    values = [symbols.next(0) & mask for _ in range(count)]
    symbols.end()
    return values


def expected_values(coded: Coded, count: int) -> list[int]:
    """Values by what is expected of them (3.1)."""
    row, first = coded.u16(), int.from_bytes(coded.take(2), "little", signed=True)
    shift, last, last_table, last_symbol = coded.u8(), coded.u8(), coded.u8(), coded.u8()
    need(row <= (count + 15) // 16 and shift <= 8 and last <= 31 and last_table <= 15, "ranges")
    bits = coded.bits()
    tables = read_map(bits, last + 1, last_table)
    frequencies = read_tables(bits, last_table + 1, last_symbol + 1)
    bits.end()
    symbols = Symbols(coded.rest(), frequencies)
    values: list[int] = []
    columns: dict[int, list[int]] = {}  # that are not zero, for each block of a row
    level = 0
    for i in range((count + 15) // 16):
        k, at = divmod(i, row) if row else (0, 0)
        column = columns.get(at, [0] * 16)
        block = []
        for c in column[: count - 16 * i]:
            block.append(symbols.next(tables[min(max((c + level >> shift) - first, 0), last)]))
        values += block
        level += ((sum(16 * x - c for x, c in zip(block, column)) >> 4) - level) >> 1
        if row:
            columns[at] = [c + (16 * x - c >> min(k.bit_length(), 4)) for x, c in zip(block, column)]
    symbols.end()
    return values


def join(element: Element, values: Iterator[int] | list[int]) -> bytes:
    return b"".join(value.to_bytes(element.width, "little") for value in values)


def split(element: Element, data: bytes) -> list[int]:
    width = element.width
    return [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data) - width + 1, width)]


def decode_planes(element: Element, data: bytes, length: int) -> bytes:
    """Planes (3)."""
    coded, count = Coded(data), length // element.width
    form = coded.u8()
    if form == 0:
        plain = coded.take(length)
    elif form == 1:
        values = [0] * count
        for _ in range(element.width):
            values = [value << 8 | low for value, low in zip(values, plane(coded, 8, count))]
        plain = join(element, values) + coded.take(length % element.width)
    elif form == 2:
        plain = join(element, float_split(element, coded, count)) + coded.take(length % element.width)
    else:
        need(form == 3 and element.fields != (), "planes of unknown form")
        plain = decode_fields(element, coded, length, [])
    coded.end()
    return plain


def float_split(element: Element, coded: Coded, count: int) -> Iterator[int]:
    need(element.mantissa is not None, "a float split of what is no float")
    mantissa = element.mantissa or 0
    joined, below = coded.u8(), coded.u16()
    need(joined <= min(3, mantissa) and below < 1 << (element.bits - 1 - mantissa), "a float split")
    low, symbols, rests = mantissa - joined, plane(coded, 8, count), [0] * count
    for bits in [(low + 1) % 8] * ((low + 1) % 8 > 0) + [8] * ((low + 1) // 8):
        rests = [rest << bits | value for rest, value in zip(rests, plane(coded, bits, count))]
    for symbol, rest in zip(symbols, rests):
        v = symbol if symbol < 1 << joined else symbol + (below << joined)
        x = (v << low) % (1 << (element.bits - 1))
        yield x | rest % (1 << low) | (rest >> low & 1) << (element.bits - 1)


def decode_fields(element: Element, coded: Coded, length: int, bases: list[bytes]) -> bytes:
    """The fields of blocks (5), and the tail."""
    count, plain, at = length // element.width, bytearray(length // element.width * element.width), 0
    for many, code in element.fields:
        field = ELEMENTS[code]
        size = many * field.width
        how, inner = coded.u8(), coded.string()
        need(how <= len(bases), "a field of unknown form")
        starts = range(at, count * element.width, element.width)
        old = [b"".join(base[start : start + size] for start in starts) for base in bases[:how]]
        values = decode_difference(field, inner, count * size, *old) if old else decode_planes(field, inner, count * size)
        for n, start in enumerate(starts):
            plain[start : start + size] = values[n * size : (n + 1) * size]
        at += size
    return bytes(plain) + coded.take(length % element.width)


def decode_difference(element: Element, data: bytes, length: int, base: bytes, older: bytes | None = None) -> bytes:
    """Float difference, or a trend where there is an older base (4)."""
    need(len(base) == length and (older is None or len(older) == length), "a base of another length")
    coded, tail = Coded(data), length % element.width
    form = coded.u8()
    if form == 0:
        plain = coded.take(length)
    elif form == 1:
        plain = base
    elif form == 3 and element.fields:
        plain = decode_fields(element, coded, length, [base] if older is None else [base, older])
    else:
        need(form in (2, 4, 5, 6) and not element.fields, "a difference of unknown form")
        old = split(element, base)
        if form == 2:
            new = sparse(element, coded, old)
            plain = join(element, new) + coded.take(tail)
        else:
            end = len(data) - tail
            need(end >= 1, "a tail that is missing")
            part, kind = Coded(data[1:end]), element
            if form == 6:
                kind, form = without(element, part.u8()), part.u8()
            need(form == 4 or form == 5 and older is not None, "a difference of unknown form")
            going_on = shortened(kind, split(element, older)) if form == 5 and older is not None else None
            new = dense(kind, part, shortened(kind, old), going_on)
            plain = join(element, lengthened(kind, new)) + data[end:]
            coded.rest()
    coded.end()
    return plain


def without(element: Element, lacking: int) -> Element:
    """An element that lacks so many bits at its end (4.6)."""
    need(element.mantissa is not None and 1 <= lacking <= (element.mantissa or 0), "bits that an element does not have")
    return replace(element, mantissa=(element.mantissa or 0) - lacking, lacking=lacking)


def shortened(element: Element, values: list[int]) -> list[int]:
    sign = 1 << (element.bits - 1)
    return [x & sign | (x % sign) >> element.lacking for x in values]


def lengthened(element: Element, values: list[int]) -> list[int]:
    sign = 1 << (element.bits - 1)
    return [s & sign | (s << element.lacking) % sign for s in values]


def apply(element: Element, old: int, d: int) -> int:
    """The new value, by its difference from the old one (4.1)."""
    every, sign = (1 << element.bits) - 1, 1 << (element.bits - 1)
    m = every if old & sign else 0
    if element.mantissa is None:
        return (d + (old ^ m) & every) ^ m
    u = (d + (old | sign) & every) ^ m
    return u ^ ((0 if u & sign else every) | sign)


def unapply(element: Element, old: int, new: int) -> int:
    """The difference from the old value to the new one (4.1)."""
    every, sign = (1 << element.bits) - 1, 1 << (element.bits - 1)
    m = every if old & sign else 0
    if element.mantissa is None:
        return (new ^ m) - (old ^ m) & every
    return (new ^ ((every if new & sign else 0) | sign) ^ m) - (old | sign) & every


def last_move(element: Element, old: int, older: int, share: int) -> tuple[int, int, int]:
    """Direction, size and expected difference of an element that goes on (4.4)."""
    moved = -unapply(element, old, older) % (1 << element.bits)
    away = moved < 1 << (element.bits - 1)
    u = moved if away else (1 << element.bits) - moved
    return (1 if away else -1), u, (u >> 2 if share % 2 else 0) + (u >> 1 if share >= 2 else 0)


def sparse(element: Element, coded: Coded, old: list[int]) -> list[int]:
    count = coded.varint()
    need(count <= len(old) // 8, "too many places")
    places = split(ELEMENTS[WORD], decode_planes(ELEMENTS[WORD], coded.string(), 4 * count))
    integer = ELEMENTS[INTEGERS[element.width]]
    new, at = list(old), -1
    for gap, z in zip(places, split(integer, decode_planes(integer, coded.string(), element.width * count))):
        at += gap + 1
        need(at < len(old), "a place outside the elements")
        new[at] = apply(element, old[at], (z >> 1) ^ -(z & 1))
    return new


def levels(element: Element, old: list[int]) -> list[int]:
    sign = 1 << (element.bits - 1)
    if element.mantissa is not None:
        return [o % sign >> element.mantissa for o in old]
    sizes = [o ^ (2 * sign - 1) if o & sign else o for o in old]
    return [size // 4 if element.width == 1 else size.bit_length() for size in sizes]


def dense(element: Element, coded: Coded, old: list[int], older: list[int] | None) -> list[int]:
    """Dense differences (4.3), or those of elements that go on (4.4)."""
    share = 0 if older is None else coded.u8()
    need(share <= 3, "share")
    moves = [(1, 0, 0)] * len(old) if older is None else [last_move(element, o, z, share) for o, z in zip(old, older)]
    top, first, last, first_length, last_size = coded.u8(), coded.u16(), coded.u8(), coded.u8(), coded.u8()
    last_table, last_symbol = coded.u8(), coded.u8()
    most = ((element.bits - top) << top) * 2 + 1
    need(top <= 3 and top + 1 < element.bits and most <= 256, "top bits")
    need(last <= 31 and first_length <= 64 and last_size <= 15 and last_table <= 15 and last_symbol < most, "ranges")
    bits = coded.bits()
    tables = read_map(bits, (last_size + 1) * (last + 1), last_table)
    frequencies = read_tables(bits, last_table + 1, last_symbol + 1)
    bits.end()
    raw_coded = Coded(coded.string())
    raw, symbols = raw_coded.bits(), Symbols(coded.rest(), frequencies)
    classes = [min(max(level, first) - first, last) for level in levels(element, old)]

    new, recent, length = [], 0, 0
    for start in range(0, len(old), 16):
        added, part = 0, slice(start, start + 16)
        for o, kind, (direction, u, expected) in zip(old[part], classes[part], moves[part]):
            known = length if older is None else u.bit_length()
            size = min(max(known, first_length) - first_length, last_size)
            s = symbols.next(tables[size * (last + 1) + kind])
            t = (s + 1) // 2
            shift = (t >> top) - 1 if t >= 2 << top else 0
            least = (t % (1 << top) + (1 << top)) << shift if t >= 2 << top else t
            magnitude = least | raw.field(shift)
            new.append(apply(element, o, direction * ((magnitude if s % 2 else -magnitude) + expected)))
            weight = min(least >> 26 - min(element.lacking, 26) if element.width == 8 else least, 1 << 26)
            added += weight << (kind if element.mantissa is not None else 0)
        length = recent.bit_length()
        recent = (recent - (recent >> 2) + added) % 2**64
    raw.end()
    raw_coded.end()
    symbols.end()
    return new

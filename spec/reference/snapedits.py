"""Plain bytes as edits of a base, from spec/CODECS.md, section 6."""

from snapnumbers import Undecodable

CLASSES = 26
REPLACED, INSERTED, FORWARD, BACK = range(4)


class Bits:
    """Coded bits (section 6.1)."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.range = 2**64 - 1
        self.code = int.from_bytes(data[:8].ljust(8, b"\0"), "big")
        self.shifted = 0
        if self.code >= self.range:
            raise Undecodable("bits beyond their range")

    def bit(self, of_one: int) -> int:
        bound = (self.range >> 16) * of_one
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        self.shift()
        return bit

    def even(self, count: int) -> int:
        self.range >>= count
        value = self.code // self.range
        if value >> count:
            raise Undecodable("bits beyond their range")
        self.code -= value * self.range
        self.shift()
        return value

    def shift(self) -> None:
        while self.range < 1 << 56:
            following = self.data[self.shifted + 8] if self.shifted + 8 < len(self.data) else 0
            self.range <<= 8
            self.code = self.code << 8 | following
            self.shifted += 1

    def finish(self) -> None:
        if len(self.data) != self.shifted + 1:
            raise Undecodable("a script of another length")


class Tree:
    """A number below a power of two, bit by bit; each chance as (of 65536, bits seen)."""

    def __init__(self) -> None:
        self.chances: dict[int, tuple[int, int]] = {}

    def read(self, bits: Bits, count: int) -> int:
        node = 1
        for _ in range(count):
            of_one, seen = self.chances.get(node, (1 << 15, 0))
            bit = bits.bit(of_one)
            if bit:
                of_one += 2 * (65536 - of_one) // (2 * seen + 3)
            else:
                of_one -= 2 * of_one // (2 * seen + 3)
            self.chances[node] = (of_one, min(seen + 1, 60))
            node = node << 1 | bit
        return node - (1 << count)


class Model:
    """Numbers of one kind."""

    def __init__(self) -> None:
        self.classes = Tree()
        self.below = [Tree() for _ in range(CLASSES + 1)]

    def read(self, bits: Bits) -> int:
        length = self.classes.read(bits, 5)
        if length > CLASSES:
            raise Undecodable("a number beyond all lengths")
        if length == 0:
            return 0
        learnt = length - 1 if length <= 8 else 3
        above = 1 << learnt | self.below[length].read(bits, learnt)
        even = length - 1 - learnt
        return above << even | bits.even(even)


def parts(data: bytes, length: int) -> tuple[bytes, int, int, bytes]:
    """The script, how many literals there are, their form, and the literals in that form."""
    script_length, at = varint(data, 0)
    script = data[at : at + script_length]
    if len(script) != script_length:
        raise Undecodable("edits end too early")
    count, at = varint(data, at + script_length)
    if count > length or at >= len(data):
        raise Undecodable("edits with other literals")
    return script, count, data[at], data[at + 1 :]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            raise Undecodable("edits end too early")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise Undecodable("a number that is not in its shortest form")
            return value, at
    raise Undecodable("a number beyond 64 bits")


def follow(script: bytes, literals: bytes, length: int, base: bytes) -> bytes:
    """The plain bytes (section 6.2)."""
    bits, plain, used, copies, end, kind = Bits(script), bytearray(), 0, 0, 0, 0
    kinds = [Tree() for _ in range(4)]
    runs, lengths, distances = [Model() for _ in range(4)], [Model() for _ in range(4)], [Model(), Model()]
    while True:
        run = runs[kind].read(bits)
        plain += literals[used : used + run]
        used += run
        if used > len(literals) or len(plain) > length:
            raise Undecodable("a script beyond the plain bytes")
        if len(plain) == length:
            break
        copies += 1
        if copies > length // 8 + 1:
            raise Undecodable("a script of too many copies")
        kind = kinds[kind].read(bits, 2)
        start = end if kind == INSERTED else end + run
        if kind == FORWARD:
            start += 1 + distances[0].read(bits)
        elif kind == BACK:
            start -= 1 + distances[1].read(bits)
        count = lengths[kind].read(bits) + 1
        end = start + count
        if start < 0 or end > len(base) or len(plain) + count > length:
            raise Undecodable("a copy outside the base")
        plain += base[start:end]
        if len(plain) == length:
            break
    bits.finish()
    if used != len(literals):
        raise Undecodable("edits with other literals")
    return bytes(plain)

"""The encodings of spec/FORMAT.md, section by section: bytes in, values out. No file is touched here."""

import functools
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from snapcodecs import zstd_frame

MIB = 1 << 20
DATA, NODES = 1, 2
ENTRIES, EXTENTS = 1, 2


class Refused(Exception):
    """The repository holds what a reader must not accept."""


def need(condition: bool, message: str) -> None:
    if not condition:
        raise Refused(message)


def derive(context: str, material: bytes, length: int) -> bytes:
    return blake3(material, derive_key_context=f"snap 2026 v1 {context}").digest(length)


class Reader:
    """The bytes of one value, taken from the front. All integers are little-endian. (Section 2)"""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        need(length <= len(self.data) - self.at, "truncated")
        self.at += length
        return self.data[self.at - length : self.at]

    def end(self) -> None:
        need(self.at == len(self.data), "bytes behind the end")

    def number(self, form: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def u8(self) -> int:
        return self.number("B")

    def varint(self, most: int = 2**64 - 1) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                need(byte != 0 or shift == 0, "a varint longer than it must be")
                need(value <= most, f"{value} is more than {most}")
                return value
        raise Refused("a varint of more than 64 bits")

    def id(self) -> bytes:
        return self.take(32)

    def string(self, most: int) -> bytes:
        return self.take(self.varint(most))


# Records (section 2): a form takes a value from a reader. What these forms accept, they would write in the same bytes.

Form = Callable[[Reader], Any]


def number(form: str) -> Form:
    return lambda r: r.number(form)


def array(length: int) -> Form:
    return lambda r: r.take(length)


def boolean(r: Reader) -> bool:
    value = r.u8()
    need(value < 2, "a bool that is neither 0 nor 1")
    return value == 1


def octets(r: Reader) -> bytes:
    return r.take(r.number("Q"))


def text(r: Reader) -> str:
    try:
        return octets(r).decode()
    except UnicodeDecodeError as error:
        raise Refused("a string that is no UTF-8") from error


def option(form: Form) -> Form:
    return lambda r: form(r) if boolean(r) else None


def listing(form: Form, ascending: bool = False) -> Form:
    def read(r: Reader) -> list:
        values = []
        for _ in range(r.number("Q")):
            values.append(form(r))
            need(r.at > 0, "an empty element")
        if ascending:
            check_ascending(values)
        return values

    return read


def mapping(key: Form, value: Form) -> Form:
    def read(r: Reader) -> dict:
        pairs = [(key(r), value(r)) for _ in range(r.number("Q"))]
        check_ascending([k.encode() if isinstance(k, str) else k for k, _ in pairs])
        return dict(pairs)

    return read


def fields(**forms: Form) -> Form:
    return lambda r: {name: form(r) for name, form in forms.items()}


def choice(**variants: Form) -> Form:
    def read(r: Reader) -> tuple[str, Any]:
        variant = r.number("I")
        need(variant < len(variants), f"variant {variant} of an enum is unknown")
        name = list(variants)[variant]
        return name, variants[name](r)

    return read


def time(r: Reader) -> tuple[int, int]:
    seconds, nanos = r.number("q"), r.number("I")
    need(nanos < 10**9, "a time of more nanoseconds than a second has")
    return seconds, nanos


def check_ascending(values: list) -> None:
    need(all(a < b for a, b in zip(values, values[1:])), "not in strictly ascending order")


def record(form: Form, data: bytes) -> Any:
    r = Reader(data)
    value = form(r)
    r.end()
    return value


U32, U64, ID, NOTHING = number("I"), number("Q"), array(32), fields()
EXTRA = mapping(text, octets)
CONFIG_CLEAR = fields(repository=ID, compatible=U64, read_only=U64, incompatible=U64)
CONFIG = fields(
    created=time,
    chunk_min=U32,
    chunk_avg=U32,
    chunk_max=U32,
    segment_len=U32,
    blob_len=U32,
    pack_len=U32,
    pad=boolean,
    extra=EXTRA,
)


def check_features(bits: int) -> None:
    need(bits == 0, f"unknown features {bits:#x}")


def check_config(c: dict[str, Any]) -> None:
    """Refuses parameters that no repository has. (Section 5)"""
    need(64 <= c["chunk_min"] < c["chunk_avg"] < c["chunk_max"] <= 4 * MIB, "sizes of chunks")
    need(c["chunk_avg"].bit_count() == 1, "a mean size of chunks that is no power of two")
    need(0 < c["segment_len"] <= 4 * MIB and 0 < c["blob_len"] <= 4 * MIB and c["pack_len"] <= 256 * MIB, "other sizes")


def read_key_file(data: bytes) -> bytes:
    """The secret in a key file. (Section 6)"""
    need(re.fullmatch(rb"[0-9a-fA-F]{64}\n?", data) is not None, "no key file")
    return bytes.fromhex(data[:64].decode())


KDF = choice(argon2id=fields(memory_kib=U32, passes=U32, lanes=U32, salt=ID), key_file=NOTHING)
SLOT_CLEAR = fields(repository=ID, created=time, label=text, host=text, kdf=KDF)
SESSION = fields(
    writer=array(16),
    started=time,
    host=text,
    pid=U32,
    program=text,
    purpose=choice(push=NOTHING, repack=NOTHING, repair=NOTHING),
    extra=EXTRA,
)
TOTALS = fields(files=U64, directories=U64, others=U64, bytes=U64, new_bytes=U64, stored_bytes=U64, unreadable=U64)
COMMIT = fields(
    root=ID,
    time=time,
    zone=number("i"),
    host=text,
    user=text,
    writer=array(16),
    previous=option(ID),
    parent=option(ID),
    series=option(text),
    tags=listing(text, True),
    refs=listing(text, True),
    description=option(text),
    meta=mapping(text, text),
    paths=listing(octets),
    incompatible=U64,
    totals=TOTALS,
    program=text,
    extra=EXTRA,
)
OUTCOME = choice(commit=COMMIT, abort=fields(time=time, by=text, reason=text))
STATEMENT = choice(
    tags=fields(snapshot=ID, add=listing(text), remove=listing(text)),
    ref=fields(name=text, snapshot=option(ID)),
    pin=fields(snapshot=ID, reason=option(text)),
    unpin=fields(snapshot=ID),
    meta=fields(snapshot=ID, key=text, value=option(text)),
    forget=fields(snapshot=ID, reason=text),
    unforget=fields(snapshot=ID),
    policy=fields(toml=text),
    describe=fields(snapshot=ID, text=option(text)),
)
NOTE = fields(author=text, time=time, seen=listing(ID, True), statements=listing(STATEMENT))
GC = {
    "plan": fields(
        time=time, host=text, program=text, condemned=listing(ID, True), dropped=listing(ID, True), extra=EXTRA
    ),
    "final": fields(
        time=time, host=text, program=text, deleted=listing(ID, True), dropped=listing(ID, True), extra=EXTRA
    ),
    "done": fields(time=time, host=text, program=text, extra=EXTRA),
}
PROBE = fields(
    time=time, host=text, program=text, store=text, seen=listing(ID, True), failures=listing(text), extra=EXTRA
)


def check_gc(value: dict) -> dict:
    packs = len(value.get("condemned", value.get("deleted", ())))
    need(packs <= 32_768 and len(value.get("dropped", ())) <= 16_384, "a prune record of too many")
    return value


# Blobs, packs and their catalogues (sections 7 and 9)


@dataclass(frozen=True)
class Frame:
    raw: bytes
    kind: int
    depth: int
    sealed: int
    steps: tuple[tuple[int, int, bytes], ...]  # code, input length, parameters
    lengths: tuple[int, ...]
    bases: tuple[bytes, ...]


@dataclass(frozen=True)
class Blob:
    pack: bytes
    ordinal: int
    offset: int
    frame: Frame
    ids: tuple[bytes, ...]


def read_frame(r: Reader) -> Frame:
    start = r.at
    kind, depth, sealed = r.u8(), r.u8(), r.varint(8 * MIB + 16)
    need(kind in (DATA, NODES), f"blob of unknown kind {kind}")
    steps = tuple((r.u8(), r.varint(8 * MIB), r.string(64)) for _ in range(r.varint(8)))
    lengths = tuple(r.varint(4 * MIB if kind == DATA else 2 * MIB) for _ in range(r.varint(32768)))
    need(len(lengths) > 0 and min(lengths) > 0 and sum(lengths) <= 8 * MIB, "lengths of a blob's chunks")
    bases = tuple(r.id() for _ in range(r.varint(4096)))
    need(depth <= 8 and (depth > 0) == (len(bases) > 0), f"depth {depth} of a blob with {len(bases)} bases")
    if steps:
        need(steps[0][1] == sum(lengths) and sealed > 16, "lengths that do not fit the steps")
    else:
        need(sealed == sum(lengths) + 16 and not bases, "a blob without steps that is not its chunks")
    return Frame(r.data[start : r.at], kind, depth, sealed, steps, lengths, bases)


def read_pack_contents(r: Reader, pack: bytes) -> tuple[list[Blob], int]:
    """The blobs of a pack, and where its footer begins."""
    padding, blobs, at = r.varint(256 * MIB), [], 88
    for ordinal in range(r.varint(262_144)):
        frame = read_frame(r)
        ids = tuple(r.id() for _ in frame.lengths)
        if boolean(r):
            r.take(32 * len(ids))  # sketches: advice for writers
        blobs.append(Blob(pack, ordinal, at, frame, ids))
        at += frame.sealed
    return blobs, at + padding


def read_catalogue(data: bytes) -> Reader:
    need(len(data) > 0, "an empty catalogue")
    if data[0] == 0:
        return Reader(data[1:])
    need(data[0] == 1, f"a catalogue of unknown form {data[0]}")
    r = Reader(data[1:])
    length = r.varint(64 * MIB)
    plain = zstd_frame(r.take(len(r.data) - r.at), length, b"", b"")
    need(len(plain) == length, "a catalogue of another length than it says")
    return Reader(plain)


def read_segment(r: Reader) -> tuple[list[bytes], dict[bytes, tuple[int, list[Blob]]]]:
    """The segments that an index segment supersedes; its packs, their lengths and blobs."""
    superseded = [r.id() for _ in range(r.varint())]
    packs = {}
    for _ in range(r.varint()):
        id, length = r.id(), r.varint(256 * MIB)
        blobs, end = read_pack_contents(r, id)
        need(end + 25 <= length, "a pack whose blobs do not fit its length")
        packs[id] = length, blobs
    need(sum(len(blobs) for _, blobs in packs.values()) <= 262_144, "a segment of too many blobs")
    r.end()
    return superseded, packs


# Merkle lists (section 8)


@dataclass(frozen=True)
class Extent:
    chunk: bytes | None  # None: a hole
    length: int


@dataclass(frozen=True)
class Child:
    node: bytes
    below: int  # entries or bytes
    last: bytes


@dataclass(frozen=True)
class Entry:
    name: bytes
    tag: int
    mode: int
    uid: int
    gid: int
    mtime: int
    ctime: int
    inode: int
    device: int
    links: int
    xattrs: tuple[tuple[bytes, bytes], ...]
    size: int = 0
    extents: tuple[Extent, ...] = ()
    root: bytes | None = None
    target: bytes = b""
    rdev: int = 0


FILE, BIG_FILE, DIRECTORY, SYMLINK, FIFO, CHARACTER, BLOCK, SOCKET = range(1, 9)
SPECIAL = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK, SOCKET: stat.S_IFSOCK}


def read_extent(r: Reader) -> Extent:
    kind = r.u8()
    need(kind < 2, f"extent of unknown kind {kind}")
    extent = Extent(None, r.varint()) if kind else Extent(r.id(), r.varint(4 * MIB))
    need(extent.length > 0, "an extent of no bytes")
    return extent


def read_entry(r: Reader) -> Entry:
    name, tag = r.string(1024), r.u8()
    need(name not in (b"", b".", b"..") and not set(name) & {0, ord("/")}, f"a name that is none: {name!r}")
    mode, uid, gid = r.varint(0o7777), r.varint(2**32 - 1), r.varint(2**32 - 1)
    (mtime, mnanos), (ctime, cnanos) = time(r), time(r)
    inode, device, links = r.varint(), r.varint(), r.varint()
    xattrs = tuple((r.string(256 << 10), r.string(256 << 10)) for _ in range(r.varint(256 << 10)))
    check_ascending([b"", *(name for name, _ in xattrs)])
    need(sum(len(n) + len(v) for n, v in xattrs) <= 256 << 10, "too many extended attributes")
    entry = functools.partial(
        Entry, name, tag, mode, uid, gid, mtime * 10**9 + mnanos, ctime * 10**9 + cnanos, inode, device, links, xattrs
    )
    if tag == FILE:
        size = r.varint()
        extents = tuple(read_extent(r) for _ in range(r.varint(4)))
        need(sum(e.length for e in extents) == size, "extents that do not add up to the file")
        return entry(size=size, extents=extents)
    if tag == BIG_FILE:
        return entry(size=r.varint(), root=r.id())
    if tag == DIRECTORY:
        return entry(root=r.id() if boolean(r) else None)
    if tag == SYMLINK:
        return entry(target=r.string(64 << 10))
    need(tag in SPECIAL, f"entry of unknown tag {tag}")
    return entry(rdev=r.varint() if tag in (CHARACTER, BLOCK) else 0)


def read_child(r: Reader, leaf: int) -> Child:
    return Child(r.id(), r.varint(), r.string(1024) if leaf == ENTRIES else b"")


def read_node(data: bytes) -> tuple[int, int, list]:
    """What list the node is of (ENTRIES or EXTENTS), its level, and its items: children, if the level is not 0."""
    need(len(data) <= 2 * MIB, "a node that is too long")
    r = Reader(data)
    form, level = r.u8(), r.u8()
    need(1 <= form <= 4, f"node of unknown form {form}")
    need((level > 0) == (form > 2) and level <= 16, f"level {level} of a node of form {form}")
    count = r.varint(8192)
    need(count > 0, "a node of no items")
    leaf = (form - 1) % 2 + 1
    read: Form = {1: read_entry, 2: read_extent}.get(form, lambda r: read_child(r, leaf))
    items = [read(r) for _ in range(count)]
    r.end()
    if leaf == ENTRIES:
        check_ascending([i.name if level == 0 else i.last for i in items])
    return leaf, level, items


# What a repaired snapshot lacks (section 10)


def read_loss(r: Reader) -> tuple:
    tag, path = r.u8(), r.string(64 << 10)
    need(tag in (1, 2), f"a loss of unknown tag {tag}")
    if tag == 2:
        return tag, path, r.varint()
    size, end = r.varint(), -1
    ranges = [(r.varint(), r.varint()) for _ in range(r.varint(64))]
    for start, length in ranges:
        need(length > 0 and start > end and start + length <= size, "ranges that do not ascend, apart, in their file")
        end = start + length
    return tag, path, size, ranges, r.varint()


def read_lost(r: Reader) -> tuple[list, int]:
    return [read_loss(r) for _ in range(r.varint(16_384))], r.varint()


# Objects (sections 3 and 4)


class Object:
    """The header of an object, and its clear part."""

    def __init__(self, data: bytes, kind: int) -> None:
        need(len(data) >= 88, "an object shorter than its header")
        self.header = data[:88]
        magic, self.kind, version, suite, zero, incompatible, _, epoch, clear = struct.unpack_from("<4s4B4I", data)
        self.salt, self.commitment = self.header[24:56], self.header[56:]
        need(magic == b"SNAP", "no object of snap")
        need((self.kind, version, suite, zero) == (kind, 1, 1, 0), "another kind, version or suite")
        need(incompatible == 0, f"unknown incompatible flags {incompatible:#x}")
        need(epoch == 0, f"unknown key epoch {epoch}")
        need(clear <= 65536 and 88 + clear <= len(data), "a clear part that is too long")
        need(clear == 0 or kind <= 2, "a clear part where none belongs")
        self.clear = data[88 : 88 + clear]

    def unlock(self, root: bytes, repository: bytes) -> bool:
        """Derives the object's keys; False if they are not the ones it was sealed with."""
        keys = derive("object key", root + bytes([self.kind]) + repository + bytes(4) + self.salt, 76)
        self.key, self.nonce = AESGCM(keys[:32]), keys[32:44]
        return keys[44:] == self.commitment

    def open(self, ordinal: int, sealed: bytes, associated: bytes) -> bytes:
        last = int.from_bytes(self.nonce[8:], "little") ^ ordinal
        try:
            return self.key.decrypt(self.nonce[:8] + last.to_bytes(4, "little"), sealed, self.header + associated)
        except InvalidTag as error:
            raise Refused("bytes that do not open: damaged, moved or forged") from error

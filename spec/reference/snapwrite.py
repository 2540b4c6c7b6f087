"""Encoders of spec/FORMAT.md, with which vectors.py makes golden vectors. They share nothing with the reader and check
nothing, so that they also write what a reader must refuse."""

import struct
from collections.abc import Callable

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MASTER = bytes(range(32))
REPOSITORY = bytes(range(32, 64))
MIB = 1 << 20
FOOTER = 2**32 - 1


def b(n: int, length: int = 32) -> bytes:
    return bytes([n]) * length


def derive(context: str, material: bytes, length: int = 32) -> bytes:
    return blake3(material, derive_key_context=f"snap 2026 v1 {context}").digest(length)


def secret(context: str, length: int = 32) -> bytes:
    return derive(context, MASTER + REPOSITORY, length)


def chunk_id(data: bytes) -> bytes:
    return blake3(data, key=secret("chunk id")).digest()


def node_id(data: bytes) -> bytes:
    return blake3(data, key=secret("node id")).digest()


# Fields


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def stretched(value: int) -> bytes:
    """A varint that is a byte longer than it must be."""
    out = varint(value)
    return out[:-1] + bytes([out[-1] | 0x80, 0])


def string(data: bytes) -> bytes:
    return varint(len(data)) + data


def time(at: list[int]) -> bytes:
    return struct.pack("<qI", *at)


def extent(e: dict) -> bytes:
    return b"\1" + varint(e["length"]) if e["chunk"] is None else b"\0" + e["chunk"] + varint(e["length"])


def extents(items: list[dict]) -> bytes:
    return varint(len(items)) + b"".join(map(extent, items))


def entry(e: dict) -> bytes:
    out = string(e["name"]) + bytes([e["tag"]]) + varint(e["mode"]) + varint(e["uid"]) + varint(e["gid"])
    out += time(e["mtime"]) + time(e["ctime"]) + varint(e["inode"]) + varint(e["device"]) + varint(e["links"])
    out += varint(len(e["xattrs"])) + b"".join(string(name) + string(value) for name, value in e["xattrs"])
    match e["tag"]:
        case 1:
            return out + varint(e["size"]) + extents(e["extents"])
        case 2:
            return out + varint(e["size"]) + e["root"]
        case 3:
            return out + (b"\0" if e["root"] is None else b"\1" + e["root"])
        case 4:
            return out + string(e["target"])
        case 6 | 7:
            return out + varint(e["rdev"])
    return out


def child(form: int, c: dict) -> bytes:
    return c["node"] + varint(c["below"]) + (string(c["last"]) if form == 3 else b"")


def node(n: dict) -> bytes:
    item = {1: entry, 2: extent}.get(n["form"], lambda c: child(n["form"], c))
    return bytes([n["form"], n["level"]]) + varint(len(n["items"])) + b"".join(map(item, n["items"]))


def frame(f: dict) -> bytes:
    out = bytes([f["kind"], f["depth"]]) + varint(f["sealed"]) + varint(len(f["steps"]))
    out += b"".join(bytes([s["code"]]) + varint(s["input"]) + string(s["parameters"]) for s in f["steps"])
    out += varint(len(f["lengths"])) + b"".join(map(varint, f["lengths"]))
    return out + varint(len(f["bases"])) + b"".join(f["bases"])


def loss(l: dict) -> bytes:
    out = bytes([l["tag"]]) + string(l["path"])
    if l["tag"] == 1:
        out += varint(l["size"]) + varint(len(l["ranges"])) + b"".join(map(varint, sum(l["ranges"], [])))
        return out + varint(l["more"])
    return out + varint(l["entries"])


def lost(l: dict) -> bytes:
    return varint(len(l["losses"])) + b"".join(map(loss, l["losses"])) + varint(l["more"])


def contents(c: dict) -> bytes:
    out = varint(c["padding"]) + varint(len(c["blobs"]))
    for blob in c["blobs"]:
        out += frame(blob["frame"]) + b"".join(blob["ids"]) + bytes([bool(blob["sketches"])])
        out += b"".join(struct.pack("<8I", *sketch) for sketch in blob["sketches"])
    return out


def segment(s: dict) -> bytes:
    out = varint(len(s["supersedes"])) + b"".join(s["supersedes"]) + varint(len(s["packs"]))
    return out + b"".join(p["id"] + varint(p["length"]) + contents(p["contents"]) for p in s["packs"])


def zstd_stored(plain: bytes) -> bytes:
    """A zstd frame by hand (RFC 8878): a window of 128 KiB, no content size, one raw block."""
    return b"\x28\xb5\x2f\xfd\x00\x38" + (len(plain) << 3 | 1).to_bytes(3, "little") + plain


def zstd_repeated(byte: int, count: int) -> bytes:
    """The same with one block that repeats a byte."""
    return b"\x28\xb5\x2f\xfd\x00\x38" + (count << 3 | 3).to_bytes(3, "little") + bytes([byte])


def catalogue(plain: bytes, compressed: bool) -> bytes:
    return b"\1" + varint(len(plain)) + zstd_stored(plain) if compressed else b"\0" + plain


# Objects


def object_key(root: bytes, kind: int, epoch: int, salt: bytes) -> tuple[bytes, bytes, bytes]:
    out = derive("object key", root + bytes([kind]) + REPOSITORY + u32(epoch) + salt, 76)
    return out[:32], out[32:44], out[44:]


def seal(key: bytes, nonce: bytes, ordinal: int, plain: bytes, bound: bytes) -> bytes:
    last = struct.unpack("<I", nonce[8:])[0] ^ ordinal
    return AESGCM(key).encrypt(nonce[:8] + u32(last), plain, bound)


def header(kind: int, salt: bytes, commitment: bytes, **odd: int) -> bytes:
    """The header of an object; `odd` are other values of fields than usual."""
    fields = {"version": 1, "suite": 1, "zero": 0, "incompatible": 0, "compatible": 0, "epoch": 0, "clear": 0} | odd
    return struct.pack("<4s4B4I", b"SNAP", kind, *fields.values()) + salt + commitment


def sealed_object(
    kind: int, salt: bytes, clear_part: bytes, plain: bytes, path: str, root: bytes = MASTER, **odd: int
) -> bytes:
    key, nonce, commitment = object_key(root, kind, odd.get("epoch", 0), salt)
    start = header(kind, salt, commitment, **{"clear": len(clear_part)} | odd) + clear_part
    return start + seal(key, nonce, 0, plain, start + path.encode())


def pack(salt: bytes, blobs: list[tuple[dict, bytes]], padding: bytes, footer: bytes | None = None) -> bytes:
    """A pack of blobs, as contents list them, with their coded bytes. `footer`: another catalogue than the true one."""
    key, nonce, commitment = object_key(MASTER, 3, 0, salt)
    start = header(3, salt, commitment)
    out = start
    for n, (blob, coded) in enumerate(blobs):
        out += seal(key, nonce, n, coded, start + u32(n) + frame(blob["frame"]))
    if footer is None:
        footer = catalogue(contents({"padding": len(padding), "blobs": [blob for blob, _ in blobs]}), False)
    footer = seal(key, nonce, FOOTER, footer, start + u32(FOOTER))
    return out + padding + footer + u32(len(footer)) + b"PACK"


# Records


def r_bytes(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def r_text(text: str) -> bytes:
    return r_bytes(text.encode())


def r_option(value: object, put: Callable) -> bytes:
    return b"\0" if value is None else b"\1" + put(value)


def r_list(values: list, put: Callable) -> bytes:
    return struct.pack("<Q", len(values)) + b"".join(map(put, values))


def r_map(values: dict, put: Callable) -> bytes:
    return r_list(sorted(values), lambda key: r_text(key) + put(values[key]))


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64s(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def plain(data: bytes) -> bytes:
    return data


def identity(i: dict) -> bytes:
    return i["repository"] + u64s(i["compatible"], i["read_only"], i["incompatible"])


def config(c: dict) -> bytes:
    sizes = ("chunk_min", "chunk_avg", "chunk_max", "segment_len", "blob_len", "pack_len")
    out = time(c["created"]) + b"".join(u32(c[size]) for size in sizes)
    return out + bytes([c["pad"]]) + r_map(c["extra"], r_bytes)


def slot(s: dict) -> bytes:
    k = s["kdf"]
    kdf = u32(0) + u32(k["memory_kib"]) + u32(k["passes"]) + u32(k["lanes"]) + k["salt"] if k else u32(1)
    return s["repository"] + time(s["created"]) + r_text(s["label"]) + r_text(s["host"]) + kdf


def session(s: dict) -> bytes:
    out = s["writer"] + time(s["started"]) + r_text(s["host"]) + u32(s["pid"]) + r_text(s["program"])
    return out + u32(s["purpose"]) + r_map(s["extra"], r_bytes)


TOTALS = ("files", "directories", "others", "bytes", "new_bytes", "stored_bytes", "unreadable")


def commit(c: dict) -> bytes:
    out = u32(0) + c["root"] + time(c["time"]) + struct.pack("<i", c["zone"])
    out += r_text(c["host"]) + r_text(c["user"]) + c["writer"]
    out += r_option(c["previous"], plain) + r_option(c["parent"], plain) + r_option(c["series"], r_text)
    out += r_list(c["tags"], r_text) + r_list(c["refs"], r_text) + r_option(c["description"], r_text)
    out += r_map(c["meta"], r_text)
    out += r_list(c["paths"], r_bytes) + u64s(c["incompatible"]) + u64s(*(c["totals"][k] for k in TOTALS))
    return out + r_text(c["program"]) + r_map(c["extra"], r_bytes)


def abort(a: dict) -> bytes:
    return u32(1) + time(a["time"]) + r_text(a["by"]) + r_text(a["reason"])


STATEMENTS = ("tags", "ref", "pin", "unpin", "meta", "forget", "unforget", "policy", "describe")


def statement(s: dict) -> bytes:
    kind = s["statement"]
    out = u32(STATEMENTS.index(kind))
    match kind:
        case "tags":
            return out + s["snapshot"] + r_list(s["add"], r_text) + r_list(s["remove"], r_text)
        case "ref":
            return out + r_text(s["name"]) + r_option(s["snapshot"], plain)
        case "pin":
            return out + s["snapshot"] + r_option(s["reason"], r_text)
        case "meta":
            return out + s["snapshot"] + r_text(s["key"]) + r_option(s["value"], r_text)
        case "forget":
            return out + s["snapshot"] + r_text(s["reason"])
        case "policy":
            return out + r_text(s["toml"])
        case "describe":
            return out + s["snapshot"] + r_option(s["text"], r_text)
    return out + s["snapshot"]


def gc(r: dict) -> bytes:
    """A prune record: its lists say which."""
    out = time(r["time"]) + r_text(r["host"]) + r_text(r["program"])
    for ids in (r[key] for key in ("condemned", "deleted", "dropped") if key in r):
        out += r_list(ids, plain)
    return out + r_map(r["extra"], r_bytes)


def probe(p: dict) -> bytes:
    out = time(p["time"]) + r_text(p["host"]) + r_text(p["program"]) + r_text(p["store"]) + r_list(p["seen"], plain)
    return out + r_list(p["failures"], r_text) + r_map(p["extra"], r_bytes)


def note(n: dict) -> bytes:
    return r_text(n["author"]) + time(n["time"]) + r_list(n["seen"], plain) + r_list(n["statements"], statement)

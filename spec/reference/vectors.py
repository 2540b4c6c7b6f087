#!/usr/bin/env python3
"""Golden vectors of the pure parts of the format, made from spec/FORMAT.md for the tests of every implementation.

Usage: vectors.py FOLDER. Writes crypto.json, fields.json, notes.json, objects.json and reject.json; byte strings are hexadecimal.
Vectors are only ever added: what is there stays byte for byte.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3

import snapwrite as w
from snapwrite import MASTER, MIB, REPOSITORY, b, chunk_id, node_id, varint

# Good values, with no number twice, so that fields cannot be mixed up

ENTRY: dict[str, Any] = {
    "name": b"name",
    "tag": 5,
    "mode": 0o644,
    "uid": 1000,
    "gid": 1001,
    "mtime": [1_767_225_600, 123_456_789],
    "ctime": [1_767_225_601, 999_999_999],
    "inode": 4_242_424_242,
    "device": 66_305,
    "links": 1,
    "xattrs": [],
}
EXTENTS: list[dict[str, Any]] = [
    {"chunk": b(0x11), "length": 65_536},
    {"chunk": None, "length": 1 << 40},
    {"chunk": b(0x12), "length": 4 * MIB},
]
FILE: dict[str, Any] = ENTRY | {"name": b"a file", "tag": 1, "size": 65_536 + (1 << 40) + 4 * MIB, "extents": EXTENTS}
ENTRIES: list[dict[str, Any]] = [
    ENTRY | {"name": b"\x01", "mtime": [-1, 1], "ctime": [-(2**63), 0], "mode": 0, "uid": 0, "gid": 2**32 - 1},
    ENTRY | {"name": b"a directory", "tag": 3, "root": b(0x13), "mode": 0o2775, "links": 9},
    FILE | {"xattrs": [(b"security.x", bytes(range(256))), (b"user.empty", b""), (b"user.name", b"value")]},
    ENTRY | {"name": b"b empty directory", "tag": 3, "root": None, "mode": 0o1777},
    ENTRY
    | {"name": b"c", "tag": 1, "size": 0, "extents": [], "inode": 2**64 - 1, "device": 2**64 - 2, "links": 2**64 - 3},
    ENTRY | {"name": b"c long file", "tag": 2, "size": 2**64 - 1, "root": b(0x14), "mode": 0o4755},
    ENTRY | {"name": b"link", "tag": 4, "target": b"../\xff\n", "mode": 0o777},
    ENTRY | {"name": b"null", "tag": 6, "rdev": 259},
    ENTRY | {"name": b"sda", "tag": 7, "rdev": 2048},
    ENTRY | {"name": b"socket", "tag": 8},
    ENTRY | {"name": b"\xff" * 1024},
]
CHILDREN = [{"node": b(0x21), "below": 1024, "last": b"m"}, {"node": b(0x22), "below": 3, "last": b"ma"}]
EXTENT_CHILDREN = [{"node": b(0x23), "below": 1 << 30, "last": b""}, {"node": b(0x23), "below": 5, "last": b""}]
NODES: list[dict[str, Any]] = [
    {"form": 1, "level": 0, "items": ENTRIES},
    {"form": 2, "level": 0, "items": EXTENTS},
    {"form": 3, "level": 1, "items": CHILDREN},
    {"form": 4, "level": 16, "items": EXTENT_CHILDREN},
]
STEP: dict[str, Any] = {"code": 1, "input": 70_000, "parameters": b""}
FRAMES: list[dict[str, Any]] = [
    {"kind": 1, "depth": 0, "sealed": 70_016, "steps": [], "lengths": [65_536, 4_464], "bases": []},
    {"kind": 2, "depth": 0, "sealed": 17, "steps": [STEP], "lengths": [69_999, 1], "bases": []},
    {
        "kind": 1,
        "depth": 8,
        "sealed": 8 * MIB + 16,
        "steps": [STEP | {"input": 8 * MIB, "parameters": bytes(range(64))}, STEP | {"code": 255, "input": 1}],
        "lengths": [4 * MIB, 4 * MIB],
        "bases": [b(0x31), b(0x30)],
    },
]
SKETCH = [1, 2, 3, 2**32 - 1, 0, 0, 7, 8]
CONTENTS: list[dict[str, Any]] = [
    {"padding": 0, "blobs": []},
    {
        "padding": 300,
        "blobs": [
            {"frame": FRAMES[0], "ids": [b(0x41), b(0x42)], "sketches": [SKETCH, [0] * 8]},
            {"frame": FRAMES[2], "ids": [b(0x43), b(0x44)], "sketches": []},
        ],
    },
]
LOST_FILE: dict[str, Any] = {"tag": 1, "path": b"a/b", "size": 300, "ranges": [[0, 10], [200, 100]], "more": 0}
LOST: list[dict[str, Any]] = [
    {"losses": [], "more": 0},
    {"losses": [LOST_FILE, {"tag": 2, "path": b"", "entries": 7}], "more": 2},
    {
        "losses": [
            LOST_FILE | {"path": b"a/\xff", "size": 2**64 - 1, "ranges": [[1, 2**63], [2**64 - 3, 2]], "more": 2**40},
            LOST_FILE | {"path": b"b", "size": 0, "ranges": []},
            LOST_FILE | {"path": b"c", "ranges": [[2 * n, 1] for n in range(64)]},
            {"tag": 2, "path": b"d" * (64 << 10), "entries": 0},
        ],
        "more": 2**64 - 1,
    },
]
VARINTS = [0, 1, 127, 128, 300, 16_383, 16_384, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]

IDENTITY = {"repository": REPOSITORY, "compatible": 2**63, "read_only": 5, "incompatible": 0}
CONFIG: dict[str, Any] = {
    "created": [1_767_225_600, 7],
    "chunk_min": 16_384,
    "chunk_avg": 65_536,
    "chunk_max": 262_144,
    "segment_len": 1_000_000,
    "blob_len": 1_048_576,
    "pack_len": 67_108_864,
    "pad": True,
    "extra": {"a": b"\0\1", "b": b""},
}
KDF: dict[str, Any] = {"memory_kib": 64, "passes": 3, "lanes": 2, "salt": b(0x51)}
SLOT: dict[str, Any] = {
    "repository": REPOSITORY,
    "created": [1_767_225_602, 8],
    "label": "l\u00e4bel",
    "host": "host",
    "kdf": KDF,
}
SESSION = {
    "writer": b(0x52, 16),
    "started": [1_767_225_603, 9],
    "host": "host",
    "pid": 77,
    "program": "snap 1",
    "purpose": 1,
    "extra": {},
}
TOTALS = dict(zip(w.TOTALS, range(101, 108)))
COMMIT: dict[str, Any] = {
    "root": b(0x53),
    "time": [1_767_225_604, 10],
    "zone": -19_800,
    "host": "host",
    "user": "user",
    "writer": b(0x54, 16),
    "previous": b(0x55),
    "parent": None,
    "series": "series",
    "tags": ["a", "b"],
    "refs": ["v1"],
    "description": None,
    "meta": {"loss": "0.42", "step": "1250"},
    "paths": [b"/data/\xff", b"."],
    "incompatible": 0,
    "totals": TOTALS,
    "program": "snap 1",
    "extra": {"x": b"y"},
}
ABORT = {"time": [1_767_225_605, 11], "by": "other host", "reason": "fenced"}
NOTE: dict[str, Any] = {
    "author": "author",
    "time": [1_767_225_606, 12],
    "seen": [b(0x56), b(0x57)],
    "statements": [
        {"statement": "tags", "snapshot": b(0x58), "add": ["x", "y"], "remove": ["z"]},
        {"statement": "ref", "name": "production", "snapshot": b(0x59)},
        {"statement": "ref", "name": "gone", "snapshot": None},
        {"statement": "pin", "snapshot": b(0x5A), "reason": "why"},
        {"statement": "unpin", "snapshot": b(0x5B)},
        {"statement": "meta", "snapshot": b(0x5C), "key": "loss", "value": None},
        {"statement": "forget", "snapshot": b(0x5D), "reason": "rule"},
        {"statement": "unforget", "snapshot": b(0x5E)},
        {"statement": "policy", "toml": "keep = 3"},
        {"statement": "describe", "snapshot": b(0x5F), "text": "text"},
    ],
}
DONE: dict[str, Any] = {"time": [1_767_225_607, 13], "host": "h\u00f6st", "program": "snap 1", "extra": {"x": b"y"}}
PLAN = DONE | {"condemned": [b(0x91), b(0x92)], "dropped": [b(0x93), b(0x94)]}
FINAL = DONE | {"deleted": [b(0x91)], "dropped": [b(0x93), b(0x94)]}
GC = {"plan": PLAN, "final": FINAL, "done": DONE}
PROBE = DONE | {"store": "s3://bucket/prefix", "seen": [b(0x95), b(0x96)], "failures": ["S1: a", "S3: b"]}
PASSPHRASE = "correct horse battery staple"
KEY_FILE = b(0x5A)
SLOT_PATH, KEY_FILE_PATH = f"keys/{b(0x61).hex()}", f"keys/{b(0x62).hex()}"
SESSION_PATH, COMMIT_PATH, ABORT_PATH = (
    f"sessions/{b(0x63).hex()}",
    f"snapshots/{b(0x63).hex()}",
    f"snapshots/{b(0x64).hex()}",
)
NOTE_PATH, PROBE_PATH = f"notes/{b(0x65).hex()}", f"probes/{b(0x66).hex()}"


def argon2(kdf: dict) -> bytes:
    return hash_secret_raw(
        PASSPHRASE.encode(), kdf["salt"], kdf["passes"], kdf["memory_kib"], kdf["lanes"], 32, Type.ID, 0x13
    )


def hashed(folder: str, data: bytes) -> str:
    name = blake3(data).hexdigest()
    return f"{folder}/{name[:2]}/{name}" if folder == "packs" else f"{folder}/{name}"


# A pack of three blobs

CHUNKS = [b"first chunk", b"second", b"stored"]
NODE = w.node({"form": 2, "level": 0, "items": [{"chunk": chunk_id(CHUNKS[2]), "length": 6}]})


def pack_blobs() -> list[tuple[dict, bytes]]:
    joined = b"".join(CHUNKS[:2])
    coded = [w.zstd_stored(joined), CHUNKS[2], w.zstd_stored(NODE)]
    steps = [[STEP | {"input": len(joined)}], [], [STEP | {"input": len(NODE)}]]
    lengths = [[len(chunk) for chunk in CHUNKS[:2]], [6], [len(NODE)]]
    ids = [[chunk_id(chunk) for chunk in CHUNKS[:2]], [chunk_id(CHUNKS[2])], [node_id(NODE)]]
    return [
        (
            {
                "frame": {
                    "kind": 1 + n // 2,
                    "depth": 0,
                    "sealed": len(coded[n]) + 16,
                    "steps": steps[n],
                    "lengths": lengths[n],
                    "bases": [],
                },
                "ids": ids[n],
                "sketches": [],
            },
            coded[n],
        )
        for n in range(3)
    ]


BLOBS = pack_blobs()
LISTED: dict[str, Any] = {"padding": 5, "blobs": [blob for blob, _ in BLOBS]}
PACK = w.pack(b(0x71), BLOBS, b"\0\1\2\3\4")
SEGMENT: dict[str, Any] = {
    "supersedes": [b(0x72)],
    "packs": [
        {
            "id": blake3(PACK).digest(),
            "length": len(PACK),
            "contents": LISTED
            | {"blobs": [blob | {"sketches": [SKETCH] * len(blob["ids"])} for blob in LISTED["blobs"]]},
        }
    ],
}


def segment_object(plain: bytes) -> bytes:
    return w.sealed_object(4, b(0x73), b"", plain, "")


def crypto() -> dict:
    keys = []
    for root, kind, epoch, salt in [
        (MASTER, 1, 0, b(1)),
        (MASTER, 3, 0, b(2)),
        (b(9), 2, 0, b(1)),
        (MASTER, 6, 7, bytes(32)),
    ]:
        key, nonce, commitment = w.object_key(root, kind, epoch, salt)
        parts = [
            {"ordinal": n, "bound": b"bound", "plain": b"plain", "sealed": w.seal(key, nonce, n, b"plain", b"bound")}
            for n in (0, 1, 0x01020304, w.FOOTER)
        ]
        keys.append(
            {
                "root": root,
                "kind": kind,
                "epoch": epoch,
                "salt": salt,
                "key": key,
                "nonce": nonce,
                "commitment": commitment,
                "parts": parts,
            }
        )
    gear, sketch = w.secret("gear", 2048), w.secret("sketch", 128)
    texts = [b"", b"a", bytes(range(256)) * 8]
    names = [b"a", b"model.safetensors", b"\xff" * 255]
    split = w.secret("name split")
    return {
        "master": MASTER,
        "repository": REPOSITORY,
        "object_keys": keys,
        "ids": [{"bytes": text, "chunk": chunk_id(text), "node": node_id(text)} for text in texts],
        "gear_head": list(struct.unpack("<8Q", gear[:64])),
        "gear_last": struct.unpack("<Q", gear[-8:])[0],
        "gear_hash": blake3(gear).digest(),
        "sketch": list(struct.unpack("<16Q", sketch)),
        "boundaries": [{"name": n, "value": struct.unpack("<I", blake3(n, key=split).digest()[:4])[0]} for n in names],
        "argon2id": {"passphrase": PASSPHRASE, **KDF, "key": argon2(KDF)},
        "key_file": {"text": KEY_FILE.hex() + "\n", "secret": KEY_FILE, "key": w.derive("key file", KEY_FILE)},
    }


def fields() -> dict:
    return {
        "varints": [{"value": n, "bytes": varint(n)} for n in VARINTS],
        "nodes": [{"value": n, "bytes": w.node(n)} for n in NODES],
        "frames": [{"value": f, "bytes": w.frame(f)} for f in FRAMES],
        "contents": [{"value": c, "bytes": w.contents(c)} for c in CONTENTS],
        "lost": [{"value": l, "bytes": w.lost(l)} for l in LOST],
    }


def objects() -> dict:
    def made(path: str, kind: int, salt: int, value: Any, clear: bytes, plain: bytes, root: bytes = MASTER) -> dict:
        return {
            "path": path,
            "kind": kind,
            "salt": b(salt),
            "value": value,
            "clear": clear,
            "plain": plain,
            "object": w.sealed_object(kind, b(salt), clear, plain, path, root),
        }

    key_file_slot = SLOT | {"kdf": None}
    segments = [segment_object(w.catalogue(w.segment(SEGMENT), compressed)) for compressed in (False, True)]
    return {
        "config": made(
            "config", 1, 0x81, {"identity": IDENTITY, "config": CONFIG}, w.identity(IDENTITY), w.config(CONFIG)
        ),
        "slots": [
            made(SLOT_PATH, 2, 0x82, SLOT, w.slot(SLOT), MASTER, argon2(KDF)),
            made(KEY_FILE_PATH, 2, 0x83, key_file_slot, w.slot(key_file_slot), MASTER, w.derive("key file", KEY_FILE)),
        ],
        "session": made(SESSION_PATH, 5, 0x84, SESSION, b"", w.session(SESSION)),
        "commit": made(COMMIT_PATH, 6, 0x85, COMMIT, b"", w.commit(COMMIT)),
        "abort": made(ABORT_PATH, 6, 0x86, ABORT, b"", w.abort(ABORT)),
        "note": made(NOTE_PATH, 7, 0x87, NOTE, b"", w.note(NOTE)),
        **{stage: made(f"gc/7.{stage}", 8, 0x88 + n, v, b"", w.gc(v)) for n, (stage, v) in enumerate(GC.items())},
        "probe": made(PROBE_PATH, 10, 0x8B, PROBE, b"", w.probe(PROBE)),
        "pack": {
            "path": hashed("packs", PACK),
            "object": PACK,
            "value": LISTED,
            "chunks": [CHUNKS[:2], CHUNKS[2:], [NODE]],
        },
        "segments": [{"path": hashed("index", s), "object": s, "value": SEGMENT} for s in segments],
    }


def hexadecimal(value: Any) -> Any:
    """The value with text for bytes."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: hexadecimal(v) for key, v in value.items()}
    return [hexadecimal(v) for v in value] if isinstance(value, (list, tuple)) else value


def dump(value: Any) -> str:
    """JSON with one line for each vector."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(v) for v in value) + "\n]\n"
    parts = []
    for key, v in value.items():
        many = isinstance(v, list) and v and isinstance(v[0], dict)
        parts.append(f'"{key}": ' + (dump(v).rstrip("\n") if many else json.dumps(v)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    from foldcases import cases  # which take their names and good values from here
    from rejects import reject

    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for name, make in (("crypto", crypto), ("fields", fields), ("objects", objects), ("reject", reject), ("notes", cases)):
        (folder / f"{name}.json").write_text(dump(hexadecimal(make())))


if __name__ == "__main__":
    main()

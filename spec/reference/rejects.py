"""What a reader must refuse, with the reason: values of vectors.py, each spoilt in one place."""

from typing import Any

import snapwrite as w
from snapwrite import MASTER, MIB, b, stretched, varint
from vectors import (
    ABORT,
    BLOBS,
    CHILDREN,
    COMMIT,
    COMMIT_PATH,
    CONFIG,
    CONTENTS,
    DONE,
    EXTENTS,
    FILE,
    FINAL,
    FRAMES,
    GC,
    IDENTITY,
    KDF,
    KEY_FILE,
    LISTED,
    LOST,
    LOST_FILE,
    NODES,
    NOTE,
    PACK,
    PLAN,
    PROBE,
    SEGMENT,
    SESSION,
    SESSION_PATH,
    SLOT,
    STEP,
    hashed,
    segment_object,
)


def reject_varints() -> list[tuple[str, bytes]]:
    return [
        ("nothing", b""),
        ("truncated", b"\x80"),
        ("truncated after nine bytes", b"\xff" * 9),
        ("zero in two bytes", b"\x80\0"),
        ("one in two bytes", b"\x81\0"),
        ("longer than it must be", stretched(300)),
        ("65 bits", b"\xff" * 9 + b"\2"),
        ("beyond 64 bits", b"\xff" * 9 + b"\x7f"),
        ("eleven bytes", b"\xff" * 10 + b"\0"),
        ("a byte behind it", b"\0\0"),
    ]


def reject_nodes() -> list[tuple[str, bytes]]:
    entries, extents, inner, inner_extents = (w.node(n) for n in NODES)

    def entry(**changes: Any) -> bytes:
        return w.node({"form": 1, "level": 0, "items": [FILE | changes]})

    def two(first: dict, second: dict, form: int = 1) -> bytes:
        return w.node({"form": form, "level": form // 3, "items": [first, second]})

    def one_extent(raw: bytes) -> bytes:
        return bytes([2, 0, 1]) + raw

    behind = len(varint(FILE["size"]) + w.extents(EXTENTS)) + 1
    attributes = entry()[:-behind]
    cases = [("nothing", b""), ("a form alone", b"\1")]
    for name, node in (
        ("entries", entries),
        ("extents", extents),
        ("inner over entries", inner),
        ("inner over extents", inner_extents),
    ):
        cases += [
            (f"{name}: the last byte is missing", node[:-1]),
            (f"{name}: half is missing", node[: len(node) // 2]),
            (f"{name}: a byte behind it", node + b"\0"),
        ]
    return cases + [
        ("form 0", b"\0" + entries[1:]),
        ("form 5", b"\5\1" + inner[2:]),
        ("entries of level 1", b"\1\1" + entries[2:]),
        ("extents of level 1", b"\2\1" + extents[2:]),
        ("inner of level 0", b"\3\0" + inner[2:]),
        ("inner over extents of level 0", b"\4\0" + inner_extents[2:]),
        ("level 17", b"\4\x11" + inner_extents[2:]),
        ("no entries", b"\1\0\0"),
        ("no extents", b"\2\0\0"),
        ("no children", b"\3\1\0"),
        ("a count longer than it must be", b"\2\0" + stretched(3) + extents[3:]),
        ("8,193 extents", b"\2\0" + varint(8193) + (b"\1\1" * 8193)),
        ("a count of 2**64 - 1", b"\2\0" + varint(2**64 - 1) + extents[3:]),
        ("names out of order", two(FILE | {"name": b"b"}, FILE | {"name": b"a"})),
        ("one name twice", two(FILE | {"name": b"a"}, FILE | {"name": b"a"})),
        ("names in the order of signed bytes", two(FILE | {"name": b"\xff"}, FILE | {"name": b"a"})),
        ("a name of no bytes", entry(name=b"")),
        ("the name `.`", entry(name=b".")),
        ("the name `..`", entry(name=b"..")),
        ("a name with a slash", entry(name=b"../x")),
        ("a name with NUL", entry(name=b"a\0b")),
        ("a name of 1,025 bytes", entry(name=b"n" * 1025)),
        ("tag 0", entry(tag=0)),
        ("tag 9", entry(tag=9)),
        ("mode 010000", entry(mode=0o10000)),
        ("uid 2**32", entry(uid=2**32)),
        ("gid 2**32", entry(gid=2**32)),
        ("mtime of 10**9 nanoseconds", entry(mtime=[0, 10**9])),
        ("ctime of 2**32 - 1 nanoseconds", entry(ctime=[0, 2**32 - 1])),
        ("attributes out of order", entry(xattrs=[(b"user.b", b""), (b"user.a", b"")])),
        ("one attribute twice", entry(xattrs=[(b"user.a", b""), (b"user.a", b"1")])),
        ("an attribute without name", entry(xattrs=[(b"", b"value")])),
        ("an attribute's value of 256 KiB, missing", attributes + varint(1) + w.string(b"user.a") + varint(256 << 10)),
        ("five extents in an entry", entry(size=5, extents=[{"chunk": None, "length": 1}] * 5)),
        ("extents of more than the file", entry(size=65_535, extents=EXTENTS[:1])),
        ("extents of less than the file", entry(size=65_537, extents=EXTENTS[:1])),
        (
            "extents that wrap to the file's size",
            entry(size=1, extents=[{"chunk": None, "length": 2**64 - 1}, {"chunk": None, "length": 2}]),
        ),
        ("extents that wrap to nothing", entry(size=0, extents=[{"chunk": None, "length": 1 << 63}] * 2)),
        ("an extent in an empty file", entry(size=0, extents=EXTENTS[:1])),
        ("a directory that is neither empty nor not", entry(tag=3, root=None)[:-1] + b"\2" + b(0x13)),
        ("a link's target of 64 KiB and one byte, missing", entry(tag=4, target=b"")[:-1] + varint((64 << 10) + 1)),
        ("an extent of unknown kind", one_extent(b"\2\1")),
        ("a chunk of no bytes", one_extent(b"\0" + b(1) + b"\0")),
        ("a hole of no bytes", one_extent(b"\1\0")),
        ("a chunk of 4 MiB and one byte", one_extent(b"\0" + b(1) + varint(4 * MIB + 1))),
        ("a hole longer than it must be written", one_extent(b"\1" + stretched(5))),
        ("children out of order", two(CHILDREN[1], CHILDREN[0], 3)),
        ("two children of one last name", two(CHILDREN[0], CHILDREN[0], 3)),
        ("a last name of 1,025 bytes", w.node({"form": 3, "level": 1, "items": [CHILDREN[0] | {"last": b"m" * 1025}]})),
    ]


def reject_frames() -> list[tuple[str, bytes]]:
    def plain(**changes: Any) -> bytes:
        return w.frame(FRAMES[0] | changes)

    def coded(**changes: Any) -> bytes:
        return w.frame(FRAMES[1] | changes)

    def based(**changes: Any) -> bytes:
        return w.frame(FRAMES[2] | changes)

    good = w.frame(FRAMES[2])
    start = bytes([1, 0]) + varint(70_016)
    return [
        ("nothing", b""),
        ("the last byte is missing", good[:-1]),
        ("half is missing", good[: len(good) // 2]),
        ("a byte behind it", good + b"\0"),
        ("kind 0", plain(kind=0)),
        ("kind 3", plain(kind=3)),
        ("depth 9", based(depth=9)),
        ("depth 255", based(depth=255)),
        ("depth 0 with bases", based(depth=0)),
        ("depth 1 without bases", coded(depth=1)),
        ("bases without steps", plain(depth=1, bases=[b(1)])),
        ("a sealed length longer than it must be", bytes([1, 0]) + stretched(70_016) + plain()[5:]),
        ("a tag alone", coded(sealed=16)),
        ("less than a tag", coded(sealed=0)),
        ("a sealed length beyond 8 MiB and a tag", coded(sealed=8 * MIB + 17)),
        ("stored, and shorter than its chunks", plain(sealed=70_015)),
        ("stored, and longer than its chunks", plain(sealed=70_017)),
        ("nine steps", coded(steps=[STEP] * 9)),
        ("65 bytes of parameters", coded(steps=[STEP | {"parameters": bytes(65)}])),
        ("a step of less than the chunks", coded(steps=[STEP | {"input": 69_999}])),
        ("a step of more than the chunks", coded(steps=[STEP | {"input": 70_001}])),
        ("a second step's input beyond 8 MiB", coded(steps=[STEP, STEP | {"input": 8 * MIB + 1}])),
        ("no chunk", plain(lengths=[], sealed=16)),
        ("no chunk, a step of nothing", coded(lengths=[], steps=[STEP | {"input": 0}])),
        ("a chunk of no bytes", coded(lengths=[70_000, 0])),
        ("a chunk of 4 MiB and one byte", based(lengths=[4 * MIB + 1, 4 * MIB - 1])),
        ("a node of 2 MiB and one byte", coded(lengths=[2 * MIB + 1], steps=[STEP | {"input": 2 * MIB + 1}])),
        ("chunks of 8 MiB and one byte", based(lengths=[4 * MIB, 4 * MIB, 1], steps=[STEP | {"input": 8 * MIB}])),
        ("32,769 chunks", start + b"\0" + varint(32_769) + b"\1" * 32_769 + b"\0"),
        ("2**64 - 1 chunks", start + b"\0" + varint(2**64 - 1)),
        ("4,097 bases, missing", based(bases=[])[:-1] + varint(4097)),
    ]


def reject_contents() -> list[tuple[str, bytes]]:
    good = w.contents(CONTENTS[1])
    frame = w.frame(FRAMES[0])
    return [
        ("nothing", b""),
        ("the last byte is missing", good[:-1]),
        ("a byte behind it", good + b"\0"),
        ("padding beyond 256 MiB", varint(256 * MIB + 1) + b"\0"),
        ("262,145 blobs, missing", b"\0" + varint(262_145)),
        ("an id is missing", b"\0\1" + frame + b(1)),
        ("sketches are neither there nor not", b"\0\1" + frame + b(1) + b(2) + b"\2"),
        ("a sketch is missing", b"\0\1" + frame + b(1) + b(2) + b"\1" + bytes(32)),
    ]


def reject_lost() -> list[tuple[str, bytes]]:
    good = w.lost(LOST[1])

    def file(**changes: Any) -> bytes:
        return w.lost({"losses": [LOST_FILE | changes], "more": 0})

    return [
        ("nothing", b""),
        ("the last byte is missing", good[:-1]),
        ("a byte behind it", good + b"\0"),
        ("more losses than there are", b"\2" + good[1:][:-4]),
        ("16,385 losses", varint(16_385) + w.loss({"tag": 2, "path": b"", "entries": 0}) * 16_385 + b"\0"),
        ("2**64 - 1 losses", varint(2**64 - 1)),
        ("a loss of tag 0", good[:1] + b"\0" + good[2:]),
        ("a loss of tag 3", b"\1\3\0\0\0"),
        ("a path of 65,537 bytes", file(path=b"x" * 65_537)),
        ("a path of 2**63 bytes", b"\1\1" + varint(2**63)),
        ("65 ranges", file(ranges=[[2 * n, 1] for n in range(65)])),
        ("an empty range", file(ranges=[[5, 0]])),
        ("a range beyond the file", file(ranges=[[299, 2]])),
        ("a range that ends beyond 2**64", file(size=2**64 - 1, ranges=[[2**64 - 1, 2]])),
        ("ranges that touch", file(ranges=[[0, 10], [10, 10]])),
        ("ranges that overlap", file(ranges=[[0, 10], [9, 10]])),
        ("ranges out of order", file(ranges=[[200, 10], [0, 10]])),
        ("a length that is longer than it must be", file().replace(varint(300), stretched(300))),
    ]


def reject_records() -> list[tuple[str, str, bytes]]:
    identity, config, slot = w.identity(IDENTITY), w.config(CONFIG), w.slot(SLOT)
    session, commit, note = w.session(SESSION), w.commit(COMMIT), w.note(NOTE)
    pair = {key: w.r_text(key) + w.r_bytes(b"") for key in "ab"}
    bare = w.config(CONFIG | {"extra": {}})[:-8]
    cases = [
        (what, why, data)
        for what, good in (
            ("identity", identity),
            ("config", config),
            ("slot", slot),
            ("session", session),
            ("outcome", commit),
            ("outcome", w.abort(ABORT)),
            ("note", note),
            ("probe", w.probe(PROBE)),
            *((stage, w.gc(value)) for stage, value in GC.items()),
        )
        for why, data in (("nothing", b""), ("the last byte is missing", good[:-1]), ("a byte behind it", good + b"\0"))
    ]
    return cases + [
        ("config", "a bool of 2", bare[:-1] + b"\2" + w.u64s(0)),
        ("config", "a map out of order", bare + w.u64s(2) + pair["b"] + pair["a"]),
        ("config", "a key twice", bare + w.u64s(2) + pair["a"] + pair["a"]),
        ("config", "a map of 2**64 - 1 pairs", bare + w.u64s(2**64 - 1) + pair["a"]),
        ("config", "a map of 2**32 pairs", bare + w.u64s(2**32)),
        ("slot", "an unknown derivation", w.slot(SLOT | {"kdf": None})[:-4] + w.u32(2)),
        ("slot", "a label that is no UTF-8", slot.replace("l\u00e4bel".encode(), b"l\xff\xffbel")),
        ("slot", "a label of 2**63 bytes", slot[:44] + w.u64s(2**63) + slot[52:]),
        ("session", "an unknown purpose", w.session(SESSION | {"purpose": 3})),
        ("outcome", "an unknown outcome", w.u32(2) + commit[4:]),
        ("outcome", "an option of 2", commit.replace(b"\1" + b(0x55), b"\2" + b(0x55))),
        ("outcome", "metadata out of order", commit.replace(b"loss", b"zoss")),
        ("note", "an unknown statement", w.r_text("a") + w.time([0, 0]) + w.u64s(0, 1) + w.u32(9)),
        ("config", "a time of 10**9 nanoseconds", w.config(CONFIG | {"created": [0, 10**9]})),
        ("slot", "a time of 10**9 nanoseconds", w.slot(SLOT | {"created": [-1, 10**9]})),
        ("session", "a time of 2**32 - 1 nanoseconds", w.session(SESSION | {"started": [0, 2**32 - 1]})),
        ("outcome", "a snapshot's time of 10**9 nanoseconds", w.commit(COMMIT | {"time": [0, 10**9]})),
        ("outcome", "an abort's time of 10**9 nanoseconds", w.abort(ABORT | {"time": [0, 10**9]})),
        ("outcome", "tags out of order", w.commit(COMMIT | {"tags": ["b", "a"]})),
        ("outcome", "a tag twice", w.commit(COMMIT | {"tags": ["a", "a"]})),
        ("outcome", "refs out of order", w.commit(COMMIT | {"refs": ["v2", "v1"]})),
        ("outcome", "a ref twice", w.commit(COMMIT | {"refs": ["v1", "v1"]})),
        ("note", "a time of 10**9 nanoseconds", w.note(NOTE | {"time": [0, 10**9]})),
        ("note", "notes that it knew of out of order", w.note(NOTE | {"seen": [b(2), b(1)]})),
        ("note", "a note that it knew of twice", w.note(NOTE | {"seen": [b(1), b(1)]})),
        ("plan", "a time of 10**9 nanoseconds", w.gc(PLAN | {"time": [0, 10**9]})),
        ("plan", "packs out of order", w.gc(PLAN | {"condemned": [b(2), b(1)]})),
        ("plan", "a pack twice", w.gc(PLAN | {"condemned": [b(1), b(1)]})),
        ("plan", "snapshots out of order", w.gc(PLAN | {"dropped": [b(2), b(1)]})),
        ("plan", "2**59 packs", w.gc(DONE | {"extra": {}})[:-8] + w.u64s(2**59)),
        ("plan", "a done in its place", w.gc(DONE)),
        ("final", "a time of 10**9 nanoseconds", w.gc(FINAL | {"time": [0, 10**9]})),
        ("final", "packs out of order", w.gc(FINAL | {"deleted": [b(2), b(1)]})),
        ("final", "a snapshot twice", w.gc(FINAL | {"dropped": [b(1), b(1)]})),
        ("final", "a done in its place", w.gc(DONE)),
        ("done", "a time of 10**9 nanoseconds", w.gc(DONE | {"time": [0, 10**9]})),
        ("done", "a plan in its place", w.gc(PLAN)),
        ("probe", "a time of 10**9 nanoseconds", w.probe(PROBE | {"time": [0, 10**9]})),
        ("probe", "probes that it knew of out of order", w.probe(PROBE | {"seen": [b(2), b(1)]})),
        ("probe", "a probe that it knew of twice", w.probe(PROBE | {"seen": [b(1), b(1)]})),
        ("probe", "a note in its place", w.note(NOTE)),
        ("note", "2**61 statements", w.r_text("a") + w.time([0, 0]) + w.u64s(0, 2**61)),
    ]


def reject_costs() -> list[tuple[str, bytes]]:
    return [
        (why, w.slot(SLOT | {"kdf": KDF | cost}))
        for why, cost in (
            ("more than 1 GiB", {"memory_kib": (1 << 20) + 1, "passes": 1}),
            ("more than 2 GiB of memory times passes", {"memory_kib": 1 << 20, "passes": 3}),
            ("more than 4 GiB", {"memory_kib": (4 << 20) + 1}),
            ("65 passes", {"passes": 65}),
            ("65 lanes", {"lanes": 65}),
            ("no passes", {"passes": 0}),
            ("no lanes", {"lanes": 0}),
        )
    ]


def reject_key_files() -> list[tuple[str, bytes]]:
    text = KEY_FILE.hex().encode()
    return [
        ("nothing", b""),
        ("63 digits", text[1:]),
        ("65 digits", text + b"0"),
        ("two newlines", text + b"\n\n"),
        ("a blank before it", b" " + text[1:]),
        ("no hexadecimal digit", b"g" + text[1:]),
    ]


def reject_objects() -> list[tuple[str, str, bytes]]:
    identity, config = w.identity(IDENTITY), w.config(CONFIG)

    def config_object(**odd: Any) -> bytes:
        return w.sealed_object(1, b(0x91), identity, config, "config", **odd)

    def config_with(**changes: Any) -> bytes:
        return w.sealed_object(1, b(0x92), identity, w.config(CONFIG | changes), "config")

    def flipped(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]

    good = config_object()
    session, commit = w.session(SESSION), w.commit(COMMIT)
    cases = [
        ("config", "a byte less than a header", good[:87]),
        ("config", "another magic", b"SNAQ" + good[4:]),
        ("config", "version 2", config_object(version=2)),
        ("config", "version 0", config_object(version=0)),
        ("config", "suite 2", config_object(suite=2)),
        ("config", "byte 7 is 1", config_object(zero=1)),
        ("config", "incompatible flag 0", config_object(incompatible=1)),
        ("config", "incompatible flag 31", config_object(incompatible=1 << 31)),
        ("config", "key epoch 1", config_object(epoch=1)),
        ("config", "a clear part beyond the object", config_object(clear=len(good))),
        ("config", "a clear part of 65,537 bytes, missing", config_object(clear=65_537)),
        ("config", "another kind", w.sealed_object(5, b(0x91), identity, config, "config")),
        ("config", "a compatible flag that was set later", good[:12] + b"\1" + good[13:]),
        ("config", "another salt", flipped(good, 24)),
        ("config", "another commitment", flipped(good, 56)),
        ("config", "another clear part", flipped(good, 88)),
        ("config", "another sealed byte", flipped(good, 88 + len(identity))),
        ("config", "another tag", flipped(good, len(good) - 1)),
        ("config", "part of the tag is missing", good[:-1]),
        ("config", "nothing is sealed", good[: 88 + len(identity)]),
        ("config", "sealed for another path", w.sealed_object(1, b(0x91), identity, config, "confih")),
        (
            "config",
            "an unknown feature",
            w.sealed_object(1, b(0x93), w.identity(IDENTITY | {"incompatible": 1}), config, "config"),
        ),
        ("config", "chunks of 63 bytes", config_with(chunk_min=63)),
        ("config", "a mean that is no power of two", config_with(chunk_avg=65_537)),
        ("config", "least and mean chunk the same", config_with(chunk_min=65_536)),
        ("config", "mean above most", config_with(chunk_max=32_768)),
        ("config", "chunks beyond 4 MiB", config_with(chunk_max=4 * MIB + 1)),
        ("config", "segments of nothing", config_with(segment_len=0)),
        ("config", "segments beyond 4 MiB", config_with(segment_len=4 * MIB + 1)),
        ("config", "blobs beyond 4 MiB", config_with(blob_len=4 * MIB + 1)),
        ("config", "packs beyond 256 MiB", config_with(pack_len=256 * MIB + 1)),
        (
            SESSION_PATH,
            "a session of another name",
            w.sealed_object(5, b(0x94), b"", session, f"sessions/{b(0x66).hex()}"),
        ),
        (COMMIT_PATH, "a session in a snapshot's place", w.sealed_object(5, b(0x95), b"", session, COMMIT_PATH)),
        (COMMIT_PATH, "another repository's key", w.sealed_object(6, b(0x96), b"", commit, COMMIT_PATH, b(0x97))),
        (
            COMMIT_PATH,
            "a snapshot that needs an unknown feature",
            w.sealed_object(6, b(0x98), b"", w.commit(COMMIT | {"incompatible": 1 << 63}), COMMIT_PATH),
        ),
        (
            f"index/{b(0x99).hex()}",
            "not the hash that its name says",
            segment_object(w.catalogue(w.segment(SEGMENT), False)),
        ),
        (hashed("packs", PACK), "not the hash that its name says", PACK + b"\0"),
    ]
    plain = w.segment(SEGMENT)
    frame = w.zstd_stored(plain)
    skippable = b"\x50\x2a\x4d\x18" + w.u32(3) + b"abc"
    length = varint(len(plain))
    listed = SEGMENT["packs"][0]
    blobs = listed["contents"]["blobs"]
    end = 88 + sum(blob["frame"]["sealed"] for blob in blobs) + listed["contents"]["padding"]

    def shorter(behind: int) -> bytes:
        return w.segment(SEGMENT | {"packs": [listed | {"length": end + behind}]})

    for why, sealed in [
        ("an empty catalogue", b""),
        ("a catalogue of form 2", b"\2" + plain),
        ("a byte behind it", b"\0" + plain + b"\0"),
        ("the last byte is missing", b"\0" + plain[:-1]),
        ("no zstd frame", b"\1" + length + plain),
        ("no frame at all", b"\1" + length),
        ("half a frame", b"\1" + length + frame[:-9]),
        ("a frame of more than it says", b"\1" + varint(len(plain) - 1) + frame),
        ("a frame of less than it says", b"\1" + varint(len(plain) + 1) + frame),
        ("bytes behind the frame", b"\1" + length + frame + b"\0"),
        ("two frames", b"\1" + length + w.zstd_stored(plain[:9]) + w.zstd_stored(plain[9:])),
        ("a skippable frame behind the frame", b"\1" + length + frame + skippable),
        ("an empty frame behind the frame", b"\1" + length + frame + w.zstd_stored(b"")),
        ("a catalogue beyond 64 MiB", b"\1" + varint(64 * MIB + 1) + w.zstd_repeated(0, 1000)),
        ("a catalogue beyond 128 MiB", b"\1" + varint(128 * MIB + 1) + w.zstd_repeated(0, 1000)),
        ("a catalogue of 128 MiB in a frame of 128 KiB", b"\1" + varint(128 * MIB) + w.zstd_repeated(0, 128 << 10)),
        ("more superseded segments than bytes", b"\0" + varint(1000)),
        ("a pack that is shorter than its blobs", b"\0" + shorter(-1)),
        ("a pack without room for a footer", b"\0" + shorter(24)),
        ("a pack beyond 256 MiB", b"\0\0\1" + b(1) + varint(256 * MIB + 1) + b"\0\0"),
    ]:
        data = segment_object(sealed)
        cases.append((hashed("index", data), f"index segment: {why}", data))

    def blobs_with(n: int, **changes: Any) -> list[tuple[dict, bytes]]:
        return [
            (blob | {"frame": blob["frame"] | changes} if k == n else blob, coded)
            for k, (blob, coded) in enumerate(BLOBS)
        ]

    footer = w.catalogue(w.contents(LISTED), False)
    wrong_id = [
        (blob | {"ids": [b(0xA1)] * len(blob["ids"])} if n == 1 else blob, coded)
        for n, (blob, coded) in enumerate(BLOBS)
    ]
    swapped = LISTED | {"blobs": [LISTED["blobs"][n] for n in (1, 0, 2)]}
    frames = PACK[: 88 + BLOBS[0][0]["frame"]["sealed"]]
    for why, data in [
        ("the mark is missing", PACK[:-4] + b"KCAP"),
        ("a footer longer than the pack", PACK[:-8] + w.u32(len(PACK)) + b"PACK"),
        ("a footer shorter than its tag", PACK[:-8] + w.u32(15) + b"PACK"),
        ("a header alone", PACK[:88]),
        ("no header", PACK[:87]),
        ("a pack with a clear part", PACK[:20] + w.u32(1) + PACK[24:]),
        (
            "more padding than there is",
            w.pack(b(0xA2), BLOBS, b"\0\0", w.catalogue(w.contents(LISTED | {"padding": 3}), False)),
        ),
        (
            "less padding than there is",
            w.pack(b(0xA3), BLOBS, b"\0\0", w.catalogue(w.contents(LISTED | {"padding": 1}), False)),
        ),
        ("bytes behind the contents", w.pack(b(0xA4), BLOBS, bytes(5), footer + b"\0")),
        (
            "a blob is not listed",
            w.pack(b(0xA5), BLOBS, bytes(5), w.catalogue(w.contents(LISTED | {"blobs": LISTED["blobs"][:2]}), False)),
        ),
        (
            "blobs are listed in another order",
            w.pack(b(0xA6), BLOBS, bytes(5), w.catalogue(w.contents(swapped), False)),
        ),
        ("a chunk has another id", w.pack(b(0xA7), wrong_id, b"")),
        ("a node is sealed as data", w.pack(b(0xA8), blobs_with(2, kind=1), b"")),
        ("an unknown codec", w.pack(b(0xA9), blobs_with(0, steps=[STEP | {"code": 254, "input": 17}]), b"")),
        ("zstd with parameters", w.pack(b(0xAA), blobs_with(0, steps=[STEP | {"parameters": b"x", "input": 17}]), b"")),
        (
            "a step gives less than it says",
            w.pack(b(0xAB), blobs_with(0, steps=[STEP | {"input": 18}], lengths=[11, 7]), b""),
        ),
        (
            "a step gives more than it says",
            w.pack(b(0xAC), blobs_with(0, steps=[STEP | {"input": 16}], lengths=[11, 5]), b""),
        ),
        ("a sealed byte of a blob", flipped(PACK, len(frames) - 1)),
        ("a footer sealed as another part", PACK[: -8 - len(footer) - 16] + footer_as_part() + PACK[-8:]),
    ]:
        cases.append((hashed("packs", data), f"pack: {why}", data))
    return cases


def footer_as_part() -> bytes:
    key, nonce, commitment = w.object_key(MASTER, 3, 0, b(0x71))
    return w.seal(
        key, nonce, 3, w.catalogue(w.contents(LISTED), False), w.header(3, b(0x71), commitment) + w.u32(w.FOOTER)
    )


def reject() -> list[dict]:
    simple = {
        "varint": reject_varints(),
        "node": reject_nodes(),
        "frame": reject_frames(),
        "contents": reject_contents(),
        "cost": reject_costs(),
        "key file": reject_key_files(),
        "lost": reject_lost(),
    }
    cases = [{"what": what, "why": why, "bytes": data} for what, all in simple.items() for why, data in all]
    cases += [{"what": what, "why": why, "bytes": data} for what, why, data in reject_records()]
    return cases + [{"what": "object", "path": path, "why": why, "bytes": data} for path, why, data in reject_objects()]

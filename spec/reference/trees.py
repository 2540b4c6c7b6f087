"""A small tree of everything a file system can hold, in two versions; and a listing by which two trees are compared."""

import hashlib
import json
import math
import os
import random
import stat
import struct
from pathlib import Path

SECOND = 10**9
BEGIN = 1_767_225_600 * SECOND
NAMES = [
    b"space in it",
    b" leading",
    b"-rf",
    b"*",
    b"a\\b",
    b"new\nline",
    b"tab\t",
    b"\x01",
    b"not-utf8-\xff\xfe",
    b"n" * 255,
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    "\u6a21\u578b".encode(),
    b"...",
    b"~",
]
PIECES = [(0, b"begin"), (2 << 20, b"middle"), (4 << 20, b"middle"), (6 << 20, b"near the end")]
COLUMNS = "path\ttype\tmode\tmtime\tsize\tsha256\tsame as\tattributes"
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}


def make(root: Path, version: int, large: bool) -> None:
    """Fills `root`. Version 2 differs from version 1 in a few places; `large` trees have files of several chunks."""
    rng = random.Random(1)
    (root / "folder" / "in" / "folder").mkdir(parents=True)
    (root / "folder" / "empty").mkdir()
    (root / "odd").mkdir()
    for name in NAMES:
        (root / "odd" / os.fsdecode(name)).write_bytes(b"named " + name)
    (root / "empty").touch()
    (root / "text").write_text("".join(f"line {n} of version {version if n == 5 else 1}\n" for n in range(20)))
    (root / "many").mkdir()
    for n in range(300 if large else 150):
        (root / "many" / f"{n * version}").touch()
    weights(root / "weights.safetensors", rng, version, 400_000 if large else 2048)
    words = [rng.choice(NAMES) for _ in range(100_000 if large else 5_000)]
    words[1000] = b"version %d" % version
    (root / "words").write_bytes(b" ".join(words))
    if large:
        moments(root / "moments.safetensors", version)
        (root / "noise").write_bytes(b"v%d" % version + rng.randbytes(1_500_000))
    holes(root / "holes", PIECES, 7 << 20)
    holes(root / "hole", [], 1 << 20)
    (root / "link").symlink_to("folder/in")
    (root / "dangling").symlink_to("no/such\nplace" if version == 1 else "/elsewhere")
    (root / "hard-1").write_bytes(b"one file of three names")
    (root / "hard-2").hardlink_to(root / "hard-1")
    (root / "folder" / "hard-3").hardlink_to(root / "hard-1")
    os.mkfifo(root / "fifo")
    for mode in (0o400, 0o640, 0o755, 0o4711):
        (root / f"mode-{mode:o}").touch()
        (root / f"mode-{mode:o}").chmod(mode)
    attributed = root / "attributes"
    attributed.write_bytes(b"version %d" % version)
    for attribute, value in (("user.binary", bytes(range(256))), ("user.empty", b""), ("user.text", b"value")):
        try:
            os.setxattr(attributed, attribute, value)
        except OSError:
            pass  # not on this file system
    (root / "folder" / "in").chmod(0o550)
    for n, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        at = BEGIN + n * SECOND + 123_456_789 if n % 7 else -n * SECOND - 1
        os.utime(path, ns=(at, at), follow_symlinks=False)
    os.utime(root, ns=(BEGIN, BEGIN))


def weights(path: Path, rng: random.Random, version: int, count: int) -> None:
    """Three tensors as safetensors; in the second version the values have moved a little."""
    values = [rng.gauss(0, 0.02) for _ in range(count)]
    values = [v + (version - 1) * rng.gauss(0, 1e-5) for v in values]
    single = struct.pack(f"<{count}f", *values)
    brain = b"".join(single[at + 2 : at + 4] for at in range(0, len(single), 4))
    tensors, at = {}, 0
    for name, dtype, data in (("a", "F32", single), ("b", "BF16", brain), ("zeros", "U8", bytes(64 << 10))):
        shape = [len(data) // {"F32": 4, "BF16": 2, "U8": 1}[dtype]]
        tensors[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + single + brain + bytes(64 << 10))


def moments(path: Path, version: int) -> None:
    """What an optimiser might know of weights: numbers whose rows and columns are each of a size."""
    rng = random.Random(version)
    columns = [math.exp(rng.gauss(0, 1)) for _ in range(320)]
    rows = [math.exp(rng.gauss(0, 1)) for _ in range(300)]
    data = struct.pack(f"<{320 * 300}f", *(row * column * rng.gauss(0, 1e-4) for row in rows for column in columns))
    header = json.dumps({"m": {"dtype": "F32", "shape": [300, 320], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def holes(path: Path, pieces: list[tuple[int, bytes]], size: int) -> None:
    with open(path, "wb") as file:
        for at, data in pieces:
            file.seek(at)
            file.write(data)
        file.truncate(size)


def has_attributes(folder: Path) -> bool:
    """Whether the file system below `folder` keeps extended attributes of users."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.probe", b"")
        return True
    except OSError:
        return False
    finally:
        probe.unlink()


def escape(name: bytes) -> str:
    return "".join(chr(c) if 0x20 < c < 0x7F and c != ord("\\") else f"\\x{c:02x}" for c in name)


def listing(root: Path, attributes: bool) -> list[str]:
    """A line for each path, ascending by bytes, with the fields of COLUMNS, `-` where there is none. Of a path, what is
    not printable ASCII is `\\xNN`, so is the backslash. Modes are octal, times nanoseconds, `sha256` is of a file's
    content or a link's target, `same as` the first name of the same file, attributes are hexadecimal."""
    first: dict[tuple[int, int], str] = {}
    lines = []
    paths = [b"."] + sorted(os.fsencode(path.relative_to(root)) for path in root.rglob("*"))
    for name in paths:
        path, shown = root / os.fsdecode(name), escape(name)
        st = path.lstat()
        kind, mode, size, content = stat.S_IFMT(st.st_mode), f"{stat.S_IMODE(st.st_mode):04o}", "-", "-"
        if kind == stat.S_IFREG:
            size, content = str(st.st_size), hashlib.sha256(path.read_bytes()).hexdigest()
        elif kind == stat.S_IFLNK:
            mode, content = "-", hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
        same = first.setdefault((st.st_dev, st.st_ino), shown)
        names = sorted(os.listxattr(path)) if attributes and kind in (stat.S_IFREG, stat.S_IFDIR) else []
        values = ",".join(f"{n}={os.getxattr(path, n).hex()}" for n in names if n.startswith("user."))
        same = "-" if same == shown else same
        lines.append("\t".join([shown, KINDS[kind], mode, str(st.st_mtime_ns), size, content, same, values or "-"]))
    return lines

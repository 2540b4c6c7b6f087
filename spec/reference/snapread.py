#!/usr/bin/env python3
"""A slow, small reader of snap repositories on a local disk, written from spec/FORMAT.md alone. It never writes to one.

Usage: snapread.py [--key-file F] [--index] REPO (list | check | restore SNAPSHOT-ID TARGET)
The passphrase is in SNAP_PASSWORD. Chunks are found through the footers of packs, with --index through index segments.
`restore` fills TARGET, which must be new or empty, with the snapshot's root directory. `check` decodes everything.
"""

import argparse
import functools
import os
import re
import resource
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO

from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3

import snapformat as fmt
from snapcodecs import DECODERS, Undecodable
from snapformat import DATA, ENTRIES, EXTENTS, MIB, NODES, Blob, Child, Entry, Extent, Object, Reader, Refused, need

KINDS = {"config": 1, "keys": 2, "packs": 3, "index": 4, "sessions": 5, "snapshots": 6, "notes": 7, "gc": 8, "probes": 10}
FOOTER_ORDINAL = 2**32 - 1


class Repository:
    """An unlocked repository, whose chunks are found once one of the `find_by_` methods was called."""

    def __init__(self, folder: Path, password: bytes | None, secret: bytes | None) -> None:
        self.folder = folder
        self.blobs: dict[tuple[int, bytes], tuple[Blob, int]] = {}  # (kind, id): the blob, and which of its chunks
        config = self.read("config")
        clear = fmt.record(fmt.CONFIG_CLEAR, Object(config, KINDS["config"]).clear)
        fmt.check_features(clear["incompatible"])
        self.id = clear["repository"]
        self.master = self.find_master(password, secret)
        fmt.check_config(fmt.record(fmt.CONFIG, self.open("config")))
        self.derive_id_keys()

    def derive_id_keys(self) -> None:
        contexts = {DATA: "chunk id", NODES: "node id"}
        self.id_keys = {kind: fmt.derive(contexts[kind], self.master + self.id, 32) for kind in contexts}

    # Objects

    def names(self, folder: str) -> list[str]:
        """The paths of the objects of a folder; names of other shapes are ignored."""
        shapes = {"packs": r"packs/(..)/\1[0-9a-f]{62}", "gc": r"gc/[1-9][0-9]{0,9}\.(plan|final|done)"}
        shape = re.compile(shapes.get(folder, folder + "/[0-9a-f]{64}"))
        found = self.folder.glob(folder + ("/*/*" if folder == "packs" else "/*"))
        paths = (str(path.relative_to(self.folder)) for path in found)
        return sorted(path for path in paths if shape.fullmatch(path))

    def read(self, path: str) -> bytes:
        data = (self.folder / path).read_bytes()
        need(len(data) <= {"packs": 256, "index": 129}.get(path.split("/")[0], 4) * MIB, f"{path}: too long")
        if path.startswith(("packs/", "index/")):
            need(blake3(data).hexdigest() == path[-64:], f"{path}: not what its name says")
        return data

    def open(self, path: str, root: bytes | None = None) -> bytes:
        """What is sealed in an object of one part."""
        data, kind = self.read(path), path.split("/")[0]
        sealed = Object(data, KINDS[kind])
        need(sealed.unlock(root or self.master, self.id), f"{path}: another key's")
        place = b"" if kind == "index" else path.encode()
        return sealed.open(0, data[88 + len(sealed.clear) :], sealed.clear + place)

    def find_master(self, password: bytes | None, secret: bytes | None) -> bytes:
        """The master key from the first slot that opens."""
        for path in self.names("keys"):
            try:
                slot = Object(self.read(path), KINDS["keys"])
                clear = fmt.record(fmt.SLOT_CLEAR, slot.clear)
                root = self.key_encryption_key(clear["kdf"], password, secret)
                if clear["repository"] == self.id and root is not None and slot.unlock(root, self.id):
                    return fmt.record(fmt.ID, self.open(path, root))
            except Refused as error:
                print(f"{path}: {error}", file=sys.stderr)
        raise Refused("no key slot opens with this passphrase or key file")

    @staticmethod
    def key_encryption_key(kdf: tuple[str, dict], password: bytes | None, secret: bytes | None) -> bytes | None:
        name, values = kdf
        if name == "key_file":
            return secret and fmt.derive("key file", secret, 32)
        memory, passes, lanes = values["memory_kib"], values["passes"], values["lanes"]
        sane = memory <= 1 << 20 and 0 < passes <= 64 and 0 < lanes <= 64 and memory * passes <= 2 << 20
        need(sane, "Argon2id that would exhaust this machine")
        return password and hash_secret_raw(password, values["salt"], passes, memory, lanes, 32, Type.ID, 0x13)

    # Finding chunks

    @functools.lru_cache(maxsize=2)
    def pack(self, id: bytes) -> tuple[bytes, Object]:
        path = f"packs/{id.hex()[:2]}/{id.hex()}"
        data = self.read(path)
        pack = Object(data, KINDS["packs"])
        need(len(pack.clear) == 0 and pack.unlock(self.master, self.id), f"{path}: another key's")
        return data, pack

    def footer(self, id: bytes) -> list[Blob]:
        data, pack = self.pack(id)
        need(data[-4:] == b"PACK", "a pack without an end")
        length = int.from_bytes(data[-8:-4], "little")
        start = len(data) - 8 - length
        need(start >= 88, "a footer longer than its pack")
        ordinal = FOOTER_ORDINAL.to_bytes(4, "little")
        contents = fmt.read_catalogue(pack.open(FOOTER_ORDINAL, data[start:-8], ordinal))
        blobs, end = fmt.read_pack_contents(contents, id)
        contents.end()
        need(end == start, "blobs that do not add up to the pack")
        return blobs

    def segment(self, path: str) -> tuple[list[bytes], dict[bytes, tuple[int, list[Blob]]]]:
        return fmt.read_segment(fmt.read_catalogue(self.open(path)))

    def is_whole(self, blob: Blob) -> bool:
        """Whether all its bases are there, less deep. Others count for nothing."""
        bases = [self.blobs.get((DATA, base)) for base in blob.frame.bases]
        return all(base is not None and base[0].frame.depth < blob.frame.depth for base in bases)

    def find(self, blobs: list[Blob]) -> None:
        """Remembers where chunks are. Of several places the one of least depth is as good as any."""
        for blob in sorted(blobs, key=lambda blob: blob.frame.depth):
            if self.is_whole(blob):
                for n, id in enumerate(blob.ids):
                    self.blobs.setdefault((blob.frame.kind, id), (blob, n))

    def find_by_footers(self) -> None:
        footers = [self.footer(bytes.fromhex(path[-64:])) for path in self.names("packs")]
        self.find([blob for blobs in footers for blob in blobs])

    def find_by_segments(self) -> None:
        segments = {path: self.segment(path) for path in self.names("index")}
        gone = {id for superseded, _ in segments.values() for id in superseded}
        there = {bytes.fromhex(path[-64:]) for path in self.names("packs")}
        named = {}
        for path, (_, packs) in segments.items():
            if bytes.fromhex(path[-64:]) not in gone:
                named |= {id: packs[id][1] for id in packs.keys() & there}
        self.find([blob for blobs in named.values() for blob in blobs])

    # Content

    @functools.lru_cache(maxsize=16)
    def decode(self, blob: Blob) -> list[bytes]:
        """The chunks of a blob."""
        data, pack = self.pack(blob.pack)
        frame = blob.frame
        sealed = data[blob.offset : blob.offset + frame.sealed]
        plain = pack.open(blob.ordinal, sealed, blob.ordinal.to_bytes(4, "little") + frame.raw)
        bases = b"".join(self.chunk(DATA, base, frame.depth) for base in frame.bases)
        need(len(bases) <= 32 * MIB, "bases that are too long")
        for code, length, parameters in reversed(frame.steps):
            need(code in DECODERS, f"unknown codec {code}")
            plain = DECODERS[code](plain, length, parameters, bases)
            need(len(plain) == length, "a step that does not give its input's length")
        r = Reader(plain)
        chunks = [r.take(length) for length in frame.lengths]
        r.end()
        for id, chunk in zip(blob.ids, chunks):
            need(blake3(chunk, key=self.id_keys[frame.kind]).digest() == id, f"chunk {id.hex()}: not what its id says")
        return chunks

    def chunk(self, kind: int, id: bytes, below: int = 9) -> bytes:
        """A chunk or a node, from a blob whose depth is less than `below`."""
        need((kind, id) in self.blobs, f"chunk {id.hex()} is missing")
        blob, n = self.blobs[kind, id]
        need(blob.frame.depth < below, f"chunk {id.hex()} is too deep to be a base")
        return self.decode(blob)[n]

    def items(self, root: bytes, of: int, level: int | None = None) -> Iterator[Any]:
        """The entries or extents of a list, or of what is below one of its nodes."""
        leaf, at, items = fmt.read_node(self.chunk(NODES, root))
        need(leaf == of and level in (None, at), f"node {root.hex()} where it does not belong")
        name = b""
        for item in items:
            if not isinstance(item, Child):
                yield item
                continue
            below, last = 0, b""
            for thing in self.items(item.node, of, at - 1):
                need(of == EXTENTS or thing.name > name, "names out of order")
                below += 1 if of == ENTRIES else thing.length
                name = last = thing.name if of == ENTRIES else b""
                yield thing
            need((below, last) == (item.below, item.last), f"node {root.hex()} does not add up")

    def prune_record(self, path: str) -> dict:
        return fmt.check_gc(fmt.record(fmt.GC[path.rpartition(".")[2]], self.open(path)))

    def outcomes(self) -> dict[str, tuple[str, dict]]:
        finals = [self.prune_record(path) for path in self.names("gc") if path.endswith(".final")]
        dropped = {id.hex() for final in finals for id in final["dropped"]}
        paths = [path for path in self.names("snapshots") if path[-64:] not in dropped]
        return {path[-64:]: fmt.record(fmt.OUTCOME, self.open(path)) for path in paths}

    def top(self, commit: dict) -> Entry:
        """The root directory of a snapshot."""
        fmt.check_features(commit["incompatible"])
        entries = list(self.items(commit["root"], ENTRIES))
        need([(e.name, e.tag) for e in entries] == [(b"root", fmt.DIRECTORY)], "no root directory")
        return entries[0]

    def extents(self, entry: Entry) -> list[Extent]:
        extents = list(entry.extents) if entry.root is None else list(self.items(entry.root, EXTENTS))
        need(sum(e.length for e in extents) == entry.size, f"{entry.name!r}: extents that do not add up to the file")
        return extents


class Restore:
    """Writes a tree below `target`. Nothing is followed or overwritten: each name is made anew in an open folder."""

    def __init__(self, repository: Repository, target: Path) -> None:
        self.repository = repository
        self.links: dict[tuple[int, int], bytes] = {}  # (device, inode): the first path
        target.mkdir(exist_ok=True)
        need(not any(target.iterdir()), f"{target} is not empty")
        self.top = os.open(target, os.O_RDONLY | os.O_DIRECTORY)

    def directory(self, entry: Entry, folder: int, path: bytes) -> None:
        if entry.root is not None:
            for child in self.repository.items(entry.root, ENTRIES):
                self.entry(child, folder, os.path.join(path, child.name))
        self.metadata(entry, folder)

    def entry(self, entry: Entry, folder: int, path: bytes) -> None:
        if entry.tag == fmt.SOCKET:
            return
        link = entry.device, entry.inode
        linked = entry.links > 1 and entry.inode != 0 and entry.tag != fmt.DIRECTORY
        if linked and link in self.links:
            os.link(self.links[link], entry.name, src_dir_fd=self.top, dst_dir_fd=folder, follow_symlinks=False)
            return
        if linked:
            self.links[link] = path
        if entry.tag == fmt.DIRECTORY:
            os.mkdir(entry.name, 0o700, dir_fd=folder)
            fd = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            self.directory(entry, fd, path)
            os.close(fd)
        elif entry.tag in (fmt.FILE, fmt.BIG_FILE):
            fd = os.open(entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            with open(fd, "wb") as file:
                for extent in self.repository.extents(entry):
                    self.extent(file, extent)
                file.flush()
                file.truncate(entry.size)
                self.metadata(entry, fd)
        else:
            if entry.tag == fmt.SYMLINK:
                os.symlink(entry.target, entry.name, dir_fd=folder)
            else:
                os.mknod(entry.name, fmt.SPECIAL[entry.tag] | 0o600, entry.rdev, dir_fd=folder)
            self.metadata(entry, folder, entry.name)

    def extent(self, file: BinaryIO, extent: Extent) -> None:
        if extent.chunk is None:
            file.seek(extent.length, os.SEEK_CUR)
            return
        data = self.repository.chunk(DATA, extent.chunk)
        need(len(data) == extent.length, "an extent of another length than its chunk")
        file.write(data)

    def metadata(self, entry: Entry, fd: int, name: bytes | None = None) -> None:
        """Owner (as root), mode, attributes and times of the open file, or of what has a name in the open folder."""
        at: dict = {} if name is None else {"dir_fd": fd, "follow_symlinks": False}
        path = fd if name is None else name
        if os.geteuid() == 0:
            os.chown(path, entry.uid, entry.gid, **at)
        if entry.tag != fmt.SYMLINK:
            os.chmod(path, entry.mode, dir_fd=None if name is None else fd)
        for key, value in entry.xattrs:
            try:
                if name is None:
                    os.setxattr(fd, key, value)
                else:
                    os.setxattr(b"/proc/self/fd/%d/%s" % (fd, name), key, value, follow_symlinks=False)
            except OSError as error:
                print(f"snapread: {entry.name!r}: attribute {key!r}: {error.strerror}", file=sys.stderr)
        os.utime(path, ns=(entry.mtime, entry.mtime), **at)


def check(repository: Repository) -> None:
    """Decodes every blob and every record, and walks all snapshots."""
    ids = [bytes.fromhex(path[-64:]) for path in repository.names("packs")]
    packs = {id: repository.footer(id) for id in ids}
    for blobs in packs.values():
        for blob in filter(repository.is_whole, blobs):
            repository.decode(blob)
    for path in repository.names("index"):
        for id, (length, blobs) in repository.segment(path)[1].items():
            same = id not in packs or (blobs, length) == (packs[id], len(repository.pack(id)[0]))
            need(same, f"{path}: not what pack {id.hex()} says")
    for path in repository.names("sessions"):
        fmt.record(fmt.SESSION, repository.open(path))
    for path in repository.names("notes"):
        fmt.record(fmt.NOTE, repository.open(path))
    for path in repository.names("probes"):
        fmt.record(fmt.PROBE, repository.open(path))
    for path in repository.names("gc"):
        repository.prune_record(path)
    for outcome, commit in repository.outcomes().values():
        if outcome == "commit":
            walk(repository, repository.top(commit))
    count = sum(len(blobs) for blobs in packs.values())
    print(f"{len(packs)} packs, {count} blobs, {len(repository.blobs)} chunks and nodes: all well")


def walk(repository: Repository, entry: Entry) -> None:
    if entry.tag in (fmt.FILE, fmt.BIG_FILE):
        for extent in repository.extents(entry):
            found = extent.chunk is None or (DATA, extent.chunk) in repository.blobs
            need(found, f"{entry.name!r}: a chunk is missing")
    elif entry.tag == fmt.DIRECTORY and entry.root is not None:
        for child in repository.items(entry.root, ENTRIES):
            walk(repository, child)


def show(repository: Repository) -> None:
    commits = [(c["time"], id, c) for id, (outcome, c) in repository.outcomes().items() if outcome == "commit"]
    for (seconds, _), id, commit in sorted(commits, key=lambda c: c[:2]):
        when = datetime.fromtimestamp(seconds, timezone(timedelta(seconds=commit["zone"])))
        paths = [os.fsdecode(path) for path in commit["paths"]]
        print(id, when.isoformat(), commit["host"], commit["totals"]["bytes"], *paths)


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--key-file", type=Path)
    parser.add_argument("--index", action="store_true")
    parser.add_argument("repository", type=Path)
    parser.add_argument("verb", choices=["list", "check", "restore"])
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    sys.setrecursionlimit(50_000)  # directories may be 4,096 deep, each with a folder open
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    password = os.environb.get(b"SNAP_PASSWORD")
    try:
        secret = fmt.read_key_file(options.key_file.read_bytes()) if options.key_file else None
        repository = Repository(options.repository, password, secret)
        if options.verb == "list":
            return show(repository)
        (repository.find_by_segments if options.index else repository.find_by_footers)()
        if options.verb == "check":
            return check(repository)
        if len(options.arguments) != 2:
            parser.error("restore needs the id of a snapshot and a target")
        outcome, commit = fmt.record(fmt.OUTCOME, repository.open(f"snapshots/{options.arguments[0]}"))
        need(outcome == "commit", "that session was aborted")
        restore = Restore(repository, Path(options.arguments[1]))
        restore.directory(repository.top(commit), restore.top, b"")
    except (Refused, Undecodable, OSError) as error:
        sys.exit(f"snapread: {error}")


if __name__ == "__main__":
    main()

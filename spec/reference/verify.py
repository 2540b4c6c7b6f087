"""Reads the golden vectors with the reference reader, which must take what is good and refuse all of reject.json."""

import json
import tempfile
from pathlib import Path
from typing import Any

import snapformat as fmt
from snapcodecs import DECODERS, Undecodable
from snapformat import Reader, Refused
from snapread import KINDS, Repository

RECORDS = {
    "identity": fmt.CONFIG_CLEAR,
    "config": fmt.CONFIG,
    "slot": fmt.SLOT_CLEAR,
    "session": fmt.SESSION,
    "outcome": fmt.OUTCOME,
    "note": fmt.NOTE,
    "probe": fmt.PROBE,
    **fmt.GC,
}


def whole(data: bytes, read: fmt.Form) -> Any:
    r = Reader(data)
    value = read(r)
    r.end()
    return value


def opener(folder: Path, crypto: dict) -> Repository:
    """A repository of no objects but those that are put into the folder."""
    repository = Repository.__new__(Repository)
    repository.folder, repository.blobs = folder, {}
    repository.id, repository.master = bytes.fromhex(crypto["repository"]), bytes.fromhex(crypto["master"])
    repository.derive_id_keys()
    return repository


def read_object(repository: Repository, path: str, data: bytes) -> None:
    """All that a reader does with an object at the path."""
    place, folder = repository.folder / path, path.split("/")[0]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    if folder == "packs":
        for blob in repository.footer(bytes.fromhex(path[-64:])):
            repository.decode(blob)
    elif folder == "index":
        repository.segment(path)
    elif folder == "config":
        clear = fmt.record(fmt.CONFIG_CLEAR, fmt.Object(data, KINDS["config"]).clear)
        fmt.check_features(clear["incompatible"])
        fmt.check_config(fmt.record(fmt.CONFIG, repository.open(path)))
    elif folder == "snapshots":
        _, value = fmt.record(fmt.OUTCOME, repository.open(path))
        fmt.check_features(value.get("incompatible", 0))
    elif folder == "gc":
        repository.prune_record(path)
    else:
        fmt.record({"sessions": fmt.SESSION, "notes": fmt.NOTE, "probes": fmt.PROBE}[folder], repository.open(path))


def refused(case: dict, repository: Repository) -> bool:
    data, what = bytes.fromhex(case["bytes"]), case["what"]
    try:
        match what:
            case "varint":
                whole(data, Reader.varint)
            case "node":
                fmt.read_node(data)
            case "frame":
                whole(data, fmt.read_frame)
            case "contents":
                whole(data, lambda r: fmt.read_pack_contents(r, b""))
            case "lost":
                whole(data, fmt.read_lost)
            case "cost":
                repository.key_encryption_key(fmt.record(fmt.SLOT_CLEAR, data)["kdf"], b"passphrase", None)
            case "key file":
                fmt.read_key_file(data)
            case "object":
                read_object(repository, case["path"], data)
            case _:
                fmt.record(RECORDS[what], data)
    except (Refused, Undecodable):
        return True
    return False


def verify_codecs(lines: Path) -> list[str]:
    """Lines of the codec, of numbers the element code (if converted, that of the base behind it), none, one or two bases, the plain and the coded bytes."""
    wrong = []
    for line in lines.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, *rest = line.split(" ")
        code = "" if name == "edits" else rest.pop(0)
        *bases, plain, coded = [bytes.fromhex(text.strip("-")) for text in rest]
        step = {"planes": 3, "difference": 4, "converted": 4, "trend": 5, "edits": 6}[name]
        if DECODERS[step](coded, len(plain), bytes(int(part) for part in code.split(",") if part), b"".join(bases)) != plain:
            wrong.append(f"{name} {code} decode to something else")
    return wrong


def verify(vectors: Path) -> list[str]:
    """What is wrong."""
    crypto, fields, objects, reject = (
        json.loads((vectors / f"{n}.json").read_text()) for n in ("crypto", "fields", "objects", "reject")
    )
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        repository = opener(Path(folder), crypto)
        for case in reject:
            if not refused(case, repository):
                wrong.append(f"not refused: {case['what']}: {case['why']}")
        for name, value in objects.items():
            for made in value if isinstance(value, list) else [value]:
                if made["path"].startswith("keys/"):
                    continue  # read by the frozen repository
                try:
                    read_object(repository, made["path"], bytes.fromhex(made["object"]))
                except (Refused, Undecodable) as error:
                    wrong.append(f"{name}: refused: {error}")
    reads = {
        "nodes": lambda r: fmt.read_node(r.take(len(r.data))),
        "frames": fmt.read_frame,
        "contents": lambda r: fmt.read_pack_contents(r, b""),
        "lost": fmt.read_lost,
        "varints": Reader.varint,
    }
    for name, read in reads.items():
        for made in fields[name]:
            try:
                value = whole(bytes.fromhex(made["bytes"]), read)
                if name == "varints" and value != made["value"]:
                    wrong.append(f"{name}: {value} instead of {made['value']}")
            except Refused as error:
                wrong.append(f"{name}: refused: {error}")
    wrong += verify_codecs(vectors.parents[1] / "store-core/src/codec/vectors.txt")
    return wrong

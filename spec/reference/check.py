"""What `check` does, once its environment is there: it tests the reader, the frozen repository and the snap binary.

Usage: check.py [SNAP | --freeze SNAP]. `--freeze` makes spec/vectors/repo-v1 anew: only before the format is released.
"""

import difflib
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import trees
import verify

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
FROZEN = VECTORS / "repo-v1"
PASSPHRASE = "correct horse battery staple"


def run(*command: object, **environment: str) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"check: {' '.join(words)}: status {done.returncode}")
    return done.stdout


def read(repository: Path, way: list, *arguments: object) -> None:
    """Has the reader find chunks, or the key, in one of its ways."""
    password = "not the passphrase" if "--key-file" in way else PASSPHRASE
    run(sys.executable, HERE / "snapread.py", *way, repository, *arguments, SNAP_PASSWORD=password)


def expect(what: str, wanted: list[str], found: list[str]) -> None:
    if wanted != found:
        print(*difflib.unified_diff(wanted, found, "wanted", "found", lineterm="", n=0), sep="\n", file=sys.stderr)
        sys.exit(f"check: {what}: the trees differ")


def remove(tree: Path) -> None:
    """Folders in it may not be writable."""
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, 0o700)
    shutil.rmtree(tree, ignore_errors=True)


def settings(work: Path, repository: Path) -> dict[str, str]:
    cache = str(work / "cache")
    return {"SNAP_REPOSITORY": str(repository), "SNAP_PASSWORD": PASSPHRASE, "SNAP_CACHE_DIR": cache}


def push(snap: Path, work: Path, repository: Path, large: bool) -> list[tuple[str, Path]]:
    """Makes a repository of two versions of a tree, and says which snapshots are of which."""
    environment = settings(work, repository)
    run(snap, "init", **environment)
    made = []
    for version in (1, 2):
        tree = work / f"v{version}" / "tree"
        tree.mkdir(parents=True)
        trees.make(tree, version, large)
        made.append((run(snap, "-q", "push", tree, **environment).strip(), tree))
    return made


def check_binary(snap: Path, work: Path) -> None:
    repository, attributes = work / "repository", trees.has_attributes(work)
    made = push(snap, work, repository, large=True)
    for way in ([], ["--index"]):
        read(repository, way, "check")
        for id, tree in made:
            target = work / "restored"
            read(repository, way, "restore", id, target)
            expect(f"snapshot {id}", trees.listing(tree, attributes), trees.listing(target, attributes))
            for name in ("holes", "hole"):
                had, has = (root.joinpath(name).stat().st_blocks for root in (tree, target))
                if has > had:
                    sys.exit(f"check: {name} takes {has} blocks, {had} were pushed")
            remove(target)


def check_frozen(work: Path) -> None:
    attributes = trees.has_attributes(work)
    read(FROZEN, [], "check")
    for expected in sorted(VECTORS.glob("repo-v1.*.expected.txt")):
        wanted = [line for line in expected.read_text().splitlines() if not line.startswith("#")]
        if not attributes:
            wanted = [line.rpartition("\t")[0] + "\t-" for line in wanted]
        id = expected.name.split(".")[1]
        for way in ([], ["--index"], ["--key-file", VECTORS / "repo-v1.key"]):
            target = work / "restored"
            read(FROZEN, way, "restore", id, target)
            expect(f"{FROZEN.name}, snapshot {id}", wanted, trees.listing(target, attributes))
            remove(target)


def check_vectors(work: Path) -> None:
    """The committed vectors are those that vectors.py makes, and the reference reader agrees with them."""
    if wrong := verify.verify(VECTORS):
        sys.exit("check: the reference reader and the vectors disagree:\n" + "\n".join(wrong))
    run(sys.executable, HERE / "vectors.py", work / "vectors")
    names = sorted(path.name for path in VECTORS.glob("*.json"))
    _, differing, missing = filecmp.cmpfiles(VECTORS, work / "vectors", names, shallow=False)
    if differing or missing or not names:
        sys.exit(f"check: vectors.py does not make what is in spec/vectors: {differing + missing or 'nothing there'}")


def freeze(snap: Path, work: Path) -> None:
    remove(FROZEN)
    made = push(snap, work, FROZEN, large=False)
    for old in VECTORS.glob("repo-v1.*"):
        old.unlink()
    key_file = VECTORS / "repo-v1.key"
    run(snap, "key", "add", "--new-key-file", key_file, "--label", "key file", **settings(work, FROZEN))
    for folder, _, names in os.walk(FROZEN, topdown=False):  # as Git keeps it: no modes, no empty folders
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(Path(folder, name), 0o644)
        if not os.listdir(folder):
            os.rmdir(folder)
    for id, tree in made:
        lines = ["# " + trees.COLUMNS, *trees.listing(tree, True)]
        (VECTORS / f"repo-v1.{id}.expected.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    arguments = sys.argv[1:]
    work = Path(tempfile.mkdtemp(prefix="snap-check-", dir=Path(sys.prefix).parent))
    try:
        if arguments[:1] == ["--freeze"]:
            return freeze(Path(arguments[1]).resolve(), work)
        check_vectors(work)
        check_frozen(work)
        if arguments:
            check_binary(Path(arguments[0]).resolve(), work)
        print("check: all well" + ("" if arguments else " (without a binary)"))
    finally:
        remove(work)


if __name__ == "__main__":
    main()

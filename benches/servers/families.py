"""Every family of versions, pushed version by version, restored and compared."""

import json
import shutil
import time

from .program import Repository, same


def size_of(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def families(store, work, data):
    """Pushes, restores on another host, forgets the first versions, prunes, restores what is left. A table."""
    repository = Repository(store, work / "families")
    failures = repository.init()
    print("the store's trials: " + ("; ".join(failures) or "nothing was found"))
    print("| family | versions | bytes | stored | push | restore |\n|---|---|---|---|---|---|", flush=True)
    pushed = []
    for family in sorted(path for path in data.iterdir() if path.is_dir()):
        versions = sorted(path for path in family.iterdir() if path.is_dir())
        stored, took = 0, [0.0, 0.0]
        for version in versions:
            began = time.perf_counter()
            out = repository.ask("push", "--json", "--series", family.name, ".", cwd=version)[1]
            took[0] += time.perf_counter() - began
            summary = [line for line in map(json.loads, out.splitlines()) if line["message_type"] == "summary"][0]
            stored += summary["data_added_packed"]
            pushed.append((version, summary["snapshot_id"]))
        for version, snapshot in pushed[-len(versions):]:
            began = time.perf_counter()
            restore(repository, work, version, snapshot)
            took[1] += time.perf_counter() - began
        total = sum(map(size_of, versions))
        print(f"| {family.name} | {len(versions)} | {total / 1e6:.1f} MB | {stored / 1e6:.1f} MB | {took[0]:.1f} s | {took[1]:.1f} s |", flush=True)
    repository.ask("check", "-q", "--read-data")
    last = {version.parent.name: (version, snapshot) for version, snapshot in pushed}
    goes = [snapshot for version, snapshot in pushed if last[version.parent.name][1] != snapshot]
    if goes:
        repository.ask("forget", "-q", *goes, "--trash", "0d", "--force", "--execute")
        began = time.perf_counter()
        out = repository.ask("prune", "--execute", "--json", "--max-unused", "0%")[1]
        pruned = json.loads(out.splitlines()[-1])
        print(f"all but the last versions forgotten; prune: {pruned['packs_deleted']} packs, {pruned['bytes_deleted'] / 1e6:.1f} MB deleted in "
              f"{time.perf_counter() - began:.1f} s")
    repository.ask("check", "-q", "--read-data")
    for version, snapshot in last.values():
        restore(repository, work, version, snapshot)
    print(f"{len(pushed)} snapshots restored and compared, {len(last)} of them again after the prune: all the same")


def restore(repository, work, version, snapshot):
    out = work / "out"
    # By a host that pushed nothing.
    repository.ask("restore", "-q", snapshot, "-t", out, host=1)
    if not same(version, out):
        raise SystemExit(f"{version} came back different")
    shutil.rmtree(out)

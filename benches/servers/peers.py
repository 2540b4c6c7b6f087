"""snap beside restic and rustic on one bucket: what pushing versions there and restoring one takes in time, in requests, and in bytes over the wire."""

import os
import shutil
import statistics

from comparison.measure import run
from comparison.tools import PEERS, TOOLS
from comparison.trees import read_all, same_trees, size_of

from .counted import Counted
from .stores import BUCKET

VERBS = ("push first", "push next", "push again", "restore last")
NAMES = ("snap", "restic", "rustic")


def environment(name, store, prefix, cache, work):
    """What tells a tool where the repository is. `cache` is that of a host."""
    reached = store.variables()
    endpoint, region = reached["AWS_ENDPOINT_URL"], reached["AWS_REGION"]
    own = {
        "snap": {"SNAP_REPOSITORY": f"s3://{BUCKET}/{prefix}", "SNAP_CACHE_DIR": str(cache)},
        "restic": {"RESTIC_REPOSITORY": f"s3:{endpoint}/{BUCKET}/{prefix}", "RESTIC_CACHE_DIR": str(cache), "AWS_DEFAULT_REGION": region},
        "rustic": {"RUSTIC_REPOSITORY": "opendal:s3", "RUSTIC_CACHE_DIR": str(cache), "OPENDAL_BUCKET": BUCKET, "OPENDAL_ROOT": f"/{prefix}",
                   "OPENDAL_ENDPOINT": endpoint, "OPENDAL_REGION": region, "OPENDAL_ACCESS_KEY_ID": reached["AWS_ACCESS_KEY_ID"],
                   "OPENDAL_SECRET_ACCESS_KEY": reached["AWS_SECRET_ACCESS_KEY"]},
    }[name]
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("SNAP_", "AWS_", "RESTIC_", "RUSTIC_", "OPENDAL_")) and "proxy" not in key.lower()}
    places = {"HOME": str(work), "PATH": f"{PEERS / 'bin'}:{os.environ['PATH']}"}
    return {**kept, **TOOLS[name].env, **reached, **own, **places}


def one(name, store, prefix, versions, work, counted=None):
    """A tool with a repository of its own: what each verb took, and of a store that is `counted`, what went over."""
    tool, found, hosts = TOOLS[name], {}, [work / f"{prefix}.{host}" for host in ("host", "other")]

    def ask(verb, command, cwd, host=0, label="", out=""):
        env = environment(name, store, prefix, hosts[host], work)
        for path in hosts:
            path.mkdir(parents=True, exist_ok=True)
        if counted:
            counted.take()
        # Where the repository is, its variables say; `init` of snap makes the folder of its cache.
        command = [str(part).replace("REPO.cache", str(hosts[host])).replace("LABEL", label).replace("OUT", str(out)) for part in command]
        took = run(command, env, cwd)
        if counted:
            took["requests"], took["sent"], took["got"] = counted.take()
        found.setdefault(verb, []).append(took)

    for command in tool.init:
        ask("init", command, work)
    for version in versions:
        read_all(version)
        ask("push first" if version is versions[0] else "push next", tool.push, version, label=version.name)
    ask("push again", tool.push, versions[-1], label="again")
    out = work / "out"
    out.mkdir()
    ask("restore last", tool.restore, out, host=1, label=versions[-1].name, out=out)
    if not same_trees(versions[-1], out):
        raise SystemExit(f"{name}: {versions[-1]} came back different")
    shutil.rmtree(out)
    return {verb: {what: statistics.mean(each[what] for each in took) for what in took[0]} for verb, took in found.items()}


class Through:
    """A store that is reached over something else."""

    def __init__(self, store, endpoint):
        self.store, self.endpoint = store, endpoint

    def variables(self):
        return {**self.store.variables(), "AWS_ENDPOINT_URL": self.endpoint}


def peers(store, work, data, rounds):
    """Each family by each tool: some rounds straight, interleaved, for the time, and one that is counted."""
    names = [name for name in NAMES if shutil.which(TOOLS[name].program, path=f"{PEERS / 'bin'}:{os.environ['PATH']}")]
    number = 0
    for family in sorted(path for path in data.iterdir() if path.is_dir()):
        versions = sorted(path for path in family.iterdir() if path.is_dir())
        straight, over = {name: [] for name in names}, {}
        for _ in range(rounds):
            for name in names:
                number += 1
                straight[name].append(one(name, store, f"r{number}", versions, work))
        for name in names:
            number += 1
            counted = Counted(store.variables()["AWS_ENDPOINT_URL"])
            over[name] = one(name, Through(store, counted.endpoint), f"r{number}", versions, work, counted)
            counted.stop()
        total = sum(map(size_of, versions))
        print(f"\n`{family.name}`: {len(versions)} versions, {total / 1e6:.1f} MB, {rounds} rounds\n")
        print("| tool | " + " | ".join(VERBS) + " |\n|" + "---|" * (len(VERBS) + 1))
        for name in names:
            print(f"| {name} | " + " | ".join(cell(straight[name], over[name], verb) for verb in VERBS if verb in over[name]) + " |", flush=True)


def cell(rounds, over, verb):
    wall = statistics.median(each[verb]["wall"] for each in rounds)
    what = over[verb]
    return f"{wall:.2f} s, {what['requests']:.0f} requests, {what['sent'] / 1e6:.2f} MB up, {what['got'] / 1e6:.2f} MB down"

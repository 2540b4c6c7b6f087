"""The tools that are compared, and how each is asked for what. A store that another tool is beside is encrypted; cp, b3sum and zstd are none."""

import os
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target" / "release"
# Where `obtain` puts what it builds.
PEERS = ROOT / "target" / "peers"
SNAP = os.environ.get("SNAP", str(RELEASE / "snap"))
XOR = str(RELEASE / "xor_planes")
PASSWORD = "measured"


@dataclass
class Tool:
    """The commands of one tool. REPO, OUT and LABEL in them are filled in; a push runs in the version's folder, a restore in an empty one."""

    program: str
    version: list
    init: list
    push: list
    restore: list = None
    verify: list = None
    env: dict = field(default_factory=dict)
    # Whether the growth of what it writes says anything.
    stores: bool = True


def shell(script):
    return ["bash", "-o", "pipefail", "-c", script]


OPENS_WITH_PASSWORD = {"SNAP_PASSWORD": PASSWORD}


def snap_env(opens_with=OPENS_WITH_PASSWORD):
    return {"SNAP_REPOSITORY": "REPO", "SNAP_CACHE_DIR": "REPO.cache", **opens_with}


def snap(*more, opens_with=OPENS_WITH_PASSWORD):
    return Tool(
        SNAP, [SNAP, "--version"], [["mkdir", "-p", "REPO.cache"], [SNAP, "init", "-q"]],
        [SNAP, "push", ".", "-q", *more, "--series", "s", "--tag", "LABEL"],
        [SNAP, "restore", "-q", "--tag", "LABEL", "latest", "-t", "OUT"], [SNAP, "check", "-q", "--read-data"],
        snap_env(opens_with))


TOOLS = {
    "snap": snap(),
    # As bupstash is opened: no password has to be turned into a key.
    "snap-key": snap(opens_with={"SNAP_KEY_FILE": "REPO.cache/key"}),
    "snap-nodelta": snap("--no-delta"),
    "restic": Tool(
        "restic", ["restic", "version"], [["restic", "init", "-q", "--repository-version", "2"]],
        ["restic", "backup", "-q", "--tag", "LABEL", "."], ["restic", "restore", "-q", "--tag", "LABEL", "latest", "--target", "OUT"],
        ["restic", "check", "-q", "--read-data"],
        {"RESTIC_REPOSITORY": "REPO", "RESTIC_CACHE_DIR": "REPO.cache", "RESTIC_PASSWORD": PASSWORD}),
    "rustic": Tool(
        "rustic", ["rustic", "--version"], [["rustic", "init"]], ["rustic", "backup", "--tag", "LABEL", "."],
        ["rustic", "restore", "--filter-tags", "LABEL", "latest", "OUT"], ["rustic", "check", "--read-data"],
        {"RUSTIC_REPOSITORY": "REPO", "RUSTIC_CACHE_DIR": "REPO.cache", "RUSTIC_PASSWORD": PASSWORD,
         "RUSTIC_NO_PROGRESS": "true", "RUSTIC_LOG_LEVEL": "warn"}),
    "borg": Tool(
        "borg", ["borg", "--version"], [["borg", "init", "-e", "repokey-blake2"]], ["borg", "create", "-C", "zstd,3", "::LABEL", "."],
        ["borg", "extract", "::LABEL"], ["borg", "check", "--verify-data"],
        {"BORG_REPO": "REPO", "BORG_BASE_DIR": "REPO.cache", "BORG_PASSPHRASE": PASSWORD}),
    # It has no verification of its own: all that it holds is read instead.
    "bupstash": Tool(
        "bupstash", ["bupstash", "--version"], [["bupstash", "init"], ["mkdir", "-p", "REPO.cache"], ["bupstash", "new-key", "-o", "REPO.cache/key"]],
        ["bupstash", "put", "-q", "name=LABEL", "."], ["bupstash", "restore", "-q", "--into", "OUT", "name=LABEL"],
        shell("bupstash list -q --format jsonl1 | grep -o '\"id\":\"[0-9a-f]*\"' | cut -d'\"' -f4 | while read -r id; do bupstash get -q id=$id > /dev/null || exit 1; done"),
        {"BUPSTASH_REPOSITORY": "REPO", "BUPSTASH_KEY": "REPO.cache/key", "BUPSTASH_SEND_LOG": "REPO.cache/sendlog",
         "BUPSTASH_QUERY_CACHE": "REPO.cache/queries"}),
    "zstd": Tool(
        "zstd", ["zstd", "--version"], [["mkdir", "REPO"]], shell("tar --sort=name -cf - . | zstd -q -3 -T2 -o REPO/LABEL"),
        shell("zstd -q -d -c REPO/LABEL | tar -xf - -C OUT"), ["bash", "-c", "zstd -q -t REPO/*"]),
    "cp": Tool("cp", ["cp", "--version"], [["mkdir", "REPO"]], ["cp", "-a", ".", "REPO/LABEL"], ["cp", "-a", "REPO/LABEL/.", "OUT"], stores=False),
    "b3sum": Tool("b3sum", ["b3sum", "--version"], [["mkdir", "REPO"]],
                  shell("find . -type f -print0 | xargs -0 b3sum --num-threads 2 > REPO/LABEL"), stores=False),
}

# A yardstick rather than a store: only sizes.
XOR_NAME = "xor"
USUAL = ["snap", "snap-key", "restic", "rustic", "borg", "bupstash", "zstd", XOR_NAME, "cp", "b3sum"]
# Whom snap is compared with where the best peer is named.
PEER_STORES = ["restic", "rustic", "borg", "bupstash"]


def program(name):
    return XOR if name == XOR_NAME else TOOLS[name].program

"""One tool over one family: every verb, with what it took."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .tools import TOOLS, XOR, XOR_NAME
from .trees import read_all, same_trees, size_of

VERBS = ("push first", "push next", "push again", "restore first", "restore last", "verify")


def run(command, env, cwd):
    """Runs a command and measures it with all its children: wall and CPU seconds, peak bytes of memory of the largest."""
    started = time.perf_counter()
    child = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {status}: {complaint.decode(errors='replace').strip()}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss * 1024}


def store(name, versions, work):
    """All figures of one tool."""
    tool, repo = TOOLS[name], work / name
    env = dict(os.environ, HOME=str(work / "home"), **{key: value.replace("REPO", str(repo)) for key, value in tool.env.items()})

    def fill(command, label="", out=""):
        return [str(part).replace("REPO", str(repo)).replace("LABEL", label).replace("OUT", str(out)) for part in command]

    for command in tool.init:
        run(fill(command), env, work)
    empty = size_of(repo)
    sizes, pushes = [], []
    for version in versions:
        pushes.append(run(fill(tool.push, version.name), env, version))
        sizes.append(size_of(repo) - empty)
    result = {"push first": pushes[0], "sizes": sizes}
    if len(pushes) > 1:
        result["push next"] = {key: statistics.mean(push[key] for push in pushes[1:]) for key in pushes[0]}
        result["push next"]["rss"] = max(push["rss"] for push in pushes[1:])
    if tool.restore:
        result["push again"] = run(fill(tool.push, "again"), env, versions[-1])
        for what, version in (("restore first", versions[0]), ("restore last", versions[-1])):
            out = work / "out"
            out.mkdir()
            result[what] = run(fill(tool.restore, version.name, out), env, out)
            result[what]["same"] = same_trees(version, out)
            subprocess.run(["chmod", "-R", "u+w", str(out)], check=True)
            shutil.rmtree(out)
    if tool.verify:
        result["verify"] = run(fill(tool.verify), env, work)
    return result


def xor_planes(versions):
    output = subprocess.run([XOR, *map(str, versions)], check=True, capture_output=True, text=True).stdout
    left, sizes = 0, []
    for line in output.splitlines():
        left += int(line.split("\t")[2])
        sizes.append(left)
    return {"sizes": sizes}


def measure(name, versions, folder):
    """What one tool takes for these versions, which are in the page cache; in a folder below `folder`, removed afterwards."""
    for version in versions:
        read_all(version)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        os.mkdir(os.path.join(work, "home"))
        return xor_planes(versions) if name == XOR_NAME else store(name, versions, Path(work))

"""The program `snap` on a repository in a store."""

import json
import os
import subprocess
import sys

from .stores import BUCKET, ROOT

SNAP = os.environ.get("SNAP", str(ROOT / "target" / "release" / "snap"))


class Repository:
    """A repository below a prefix of its own. A host is a name: each has a cache of its own, and reaches the store through a node of its own."""

    def __init__(self, store, folder, prefix="repo"):
        self.store, self.folder, self.prefix = store, folder, prefix
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / "key"
        if not key.exists():
            key.write_text("5a" * 32 + "\n")
            key.chmod(0o600)

    def env(self, host=0):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SNAP_", "AWS_", "AZURE_")) and "proxy" not in name.lower()}
        own = {"SNAP_REPOSITORY": f"{self.store.scheme}://{BUCKET}/{self.prefix}", "SNAP_KEY_FILE": str(self.folder / "key"),
               "SNAP_CACHE_DIR": str(self.folder / f"cache{host}"), "HOME": str(self.folder), "NO_COLOR": "1"}
        return {**kept, **self.store.variables(host), **own}

    def start(self, *arguments, host=0, cwd=None):
        return subprocess.Popen([SNAP, *map(str, arguments)], env=self.env(host), cwd=cwd or self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask(self, *arguments, host=0, cwd=None, codes=(0,)):
        """A run that ends with one of `codes`: its code, standard output, standard error."""
        run = self.start(*arguments, host=host, cwd=cwd)
        out, err = run.communicate()
        if run.returncode not in codes:
            sys.exit(f"snap {' '.join(map(str, arguments))} ended with {run.returncode}: {out}{err}")
        return run.returncode, out, err

    def init(self):
        """Makes it. Says what its store does not keep."""
        self.ask("init", "-q")
        # A result is of one endpoint: whoever reaches the store through another one tests it there.
        for host in range(self.store.ways):
            failures = json.loads(self.ask("check", "--probe", "--json", host=host, codes=(0, 13))[1].splitlines()[0])["failures"]
            if self.store.keeps_conditions != (not failures) or any(not failure.startswith("S1: ") for failure in failures):
                sys.exit(f"the trials of this store found {failures}")
        return failures


def same(left, right):
    """Whether two trees are the same by `diff`."""
    return subprocess.run(["diff", "-r", "-q", str(left), str(right)], capture_output=True).returncode == 0

"""Hosts that push and hosts that prune, each with a cache of its own, while one of them is killed every now and then, and so is a node of the
store. In the end every snapshot that was reported is there, and whole."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from .program import Repository, same

# How many snapshots of its own a host keeps before it forgets the oldest.
KEEPS = 4


class Field:
    def __init__(self, store, work, pushers, pruners, seed):
        self.repository, self.store, self.work = Repository(store, work / "melee"), store, work
        self.pushers, self.pruners, self.random = pushers, pruners, random.Random(seed)
        self.lock, self.over, self.wrong = threading.Lock(), threading.Event(), []
        self.running, self.reported, self.ended = {}, {}, set()
        # Processes that were struck: those whose id no other one of ours has since, and all of them.
        self.killed, self.ever_killed = set(), set()
        self.counts = dict.fromkeys(
            ("pushes", "pushes killed", "prunes", "prunes busy", "prunes killed", "packs deleted", "sessions ended by word", "nodes killed"), 0)

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] += by

    def run(self, host, *arguments):
        """A command that may be struck meanwhile: its code, outputs, and whether it was struck."""
        with self.lock:
            child = self.repository.start(*arguments, host=host)
            self.running[child] = host
            self.killed.discard(child.pid)
        out, err = child.communicate()
        with self.lock:
            del self.running[child]
        return child.returncode, out, err

    def fail(self, what):
        self.wrong.append(what)
        self.over.set()

    def push(self, host):
        dice, data, own, version = random.Random(host), self.work / f"data{host}", [], 0
        while not self.over.is_set():
            change(data, dice, version)
            version += 1
            kept = self.work / f"kept{host}-{version}"
            shutil.copytree(data, kept)
            code, out, err = self.run(host, "push", "-q", data)
            if code == 0:
                own.append(out.strip())
                with self.lock:
                    self.reported[out.strip()] = kept
                self.count("pushes")
            else:
                shutil.rmtree(kept)
                if code != -signal.SIGKILL:
                    return self.fail(f"push: {code}: {out}{err}")
                self.count("pushes killed")
            if len(own) > KEEPS:
                oldest = own.pop(0)
                with self.lock:
                    shutil.rmtree(self.reported.pop(oldest))
                code, out, err = self.run(host, "forget", "-q", oldest, "--trash", "0d", "--force", "--execute")
                if code not in (0, -signal.SIGKILL):
                    return self.fail(f"forget: {code}: {out}{err}")
            time.sleep(dice.random() * 0.3)

    def prune(self, host):
        dice = random.Random(host)
        while not self.over.is_set():
            with self.lock:
                words = [word for session in sorted(self.ended) for word in ("--end-session", session)]
            # Where a push can be fenced, it is; elsewhere whoever is gone is waited for a minute.
            code, out, err = self.run(host, "prune", "--json", "--execute", "--max-unused", "0%", "--wait", "90s", "--fence-after", "20s", *words)
            if code == 0:
                self.count("prunes")
                pruned = json.loads(out.splitlines()[-1])
                self.count("packs deleted", pruned["packs_deleted"])
            elif code == 11:
                self.count("prunes busy")
                with self.lock:
                    found = self.gone(err, self.killed) - self.ended
                    self.ended |= found
                self.count("sessions ended by word", len(found))
            elif code == -signal.SIGKILL:
                self.count("prunes killed")
            else:
                return self.fail(f"prune: {code}: {out}{err}")
            time.sleep(dice.random())

    @staticmethod
    def gone(said, killed):
        """Sessions that a prune waits for and whose processes were killed here: whoever struck them gives his word."""
        sessions = re.findall(r"process (\d+) of \S+ [^:]*: if it runs no more, [^-]*--end-session ([0-9a-f]{64})", said)
        return {session for pid, session in sessions if int(pid) in killed}

    def strike(self, every):
        while not self.over.wait(self.random.uniform(0.5, 1.5) * every):
            with self.lock:
                # Prunes run most of the time, and are to get somewhere between two blows.
                struck = [child for child, host in self.running.items() if host < self.pushers or self.random.random() < 0.05]
                child = self.random.choice(sorted(struck, key=lambda child: child.pid)) if struck else None
                # Whoever has ended by itself is not struck: its id may be another process's by now.
                if child and child.poll() is None:
                    self.killed.add(child.pid)
                    self.ever_killed.add(child.pid)
                    child.kill()

    def strike_nodes(self, every):
        while not self.over.wait(self.random.uniform(0.5, 1.5) * every):
            node = self.random.choice(self.store.nodes)
            node.end(signal.SIGKILL)
            self.count("nodes killed")
            self.over.wait(5)
            node.start()


def change(data, dice, version):
    """The next version of some files: text of which lines change, bytes that grow, a file that comes and one that goes."""
    (data / "sub").mkdir(parents=True, exist_ok=True)
    text = data / "text"
    lines = text.read_text().splitlines() if text.exists() else [f"{line}: {dice.getrandbits(64):x}" for line in range(2000)]
    for _ in range(20):
        lines[dice.randrange(len(lines))] = f"{dice.getrandbits(64):x} in version {version}"
    text.write_text("\n".join(lines))
    (data / "sub" / str(version)).write_bytes(dice.randbytes(dice.randrange(200_000)))
    (data / "sub" / str(version - 3)).unlink(missing_ok=True)


def melee(store, work, seconds, pushers, pruners, seed):
    field = Field(store, work, pushers, pruners, seed)
    failures = field.repository.init()
    print("the store's trials: " + ("; ".join(failures) or "nothing was found"), flush=True)
    jobs = [(field.push, host) for host in range(pushers)] + [(field.prune, pushers + number) for number in range(pruners)]
    jobs += [(field.strike, 2)] + ([(field.strike_nodes, 20)] if hasattr(store, "nodes") else [])
    threads = [threading.Thread(target=job, args=(of,)) for job, of in jobs]
    for thread in threads:
        thread.start()
    field.over.wait(seconds)
    field.over.set()
    for thread in threads:
        thread.join()
    print(", ".join(f"{what} {count}" for what, count in field.counts.items()), flush=True)
    if field.wrong:
        sys.exit("\n".join(field.wrong))
    settle(field)


def settle(field):
    """Nobody strikes any more: what is left of the killed goes, all else is whole."""
    ask, host = field.repository.ask, field.pushers
    words = [word for session in sorted(field.ended) for word in ("--end-session", session)]
    while True:
        # By each host that pruned in turn: it knows of its own prunes that they are gone.
        host = field.pushers + (host + 1 - field.pushers) % field.pruners
        code, out, err = ask("prune", "--json", "--execute", "--wait", "90s", "--fence-after", "0s", *words, host=host, codes=(0, 11))
        if code == 0:
            break
        more = [word for session in sorted(field.gone(err, field.ever_killed)) for word in ("--end-session", session)]
        if set(more) <= set(words) and "another prune" not in out + err:
            sys.exit(f"the last prune waits for somebody who was not killed: {out}{err}")
        words += more
    ask("check", "-q", "--read-data", host=host)
    for snapshot, tree in field.reported.items():
        out = field.work / "out"
        ask("restore", "-q", snapshot, "-t", out, host=host)
        if not same(tree, out):
            sys.exit(f"{snapshot} came back different: {subprocess.run(['diff', '-rq', tree, out], capture_output=True, text=True).stdout}")
        shutil.rmtree(out)
    print(f"{len(field.reported)} snapshots that were reported and not forgotten restored and compared, every byte checked: all whole")

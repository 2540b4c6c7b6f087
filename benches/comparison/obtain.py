"""Installs what is missing on a Debian: tools that are compared, and what makes the corpora."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .tools import PEERS, ROOT, program

PACKAGES = {"restic": "restic", "borg": "borgbackup", "zstd": "zstd"}
CRATES = {"rustic": ["rustic-rs", "--no-default-features"], "bupstash": ["bupstash"], "b3sum": ["b3sum"]}
# What building a crate needs besides.
FOR_CRATES = {"bupstash": ["libsodium-dev", "pkg-config"]}
MAKERS = ["python3-torch", "python3-numpy", "python3-venv", "libopenblas0-pthread", "postgresql", "redis-server"]

os.environ["PATH"] = f"{PEERS / 'bin'}:{os.environ['PATH']}"


def has(name):
    return shutil.which(program(name)) is not None


def apt(packages):
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "update", "-q"], check=True, stdout=sys.stderr)
    subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", *packages], check=True, stdout=sys.stderr, env=env)


def tools(names):
    """Installs those tools that are not there."""
    missing = [name for name in names if not has(name)]
    packages = [PACKAGES[name] for name in missing if name in PACKAGES] + sum((FOR_CRATES.get(name, []) for name in missing), [])
    if packages:
        apt(packages)
    for name in missing:
        if name in CRATES:
            subprocess.run(["cargo", "install", "--locked", "--root", PEERS, *CRATES[name]], check=True)
    if not all(map(has, ("snap", "xor"))):
        subprocess.run(["cargo", "build", "--release"], check=True, cwd=ROOT)


def venv():
    """A virtual environment for what is no package of Debian."""
    folder = PEERS / "venv"
    if not folder.exists():
        if not Path("/usr/lib/python3/dist-packages/torch").exists() or not shutil.which("redis-server"):
            apt(MAKERS)
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "safetensors", "gguf", "matplotlib"], check=True, stdout=sys.stderr)
    return folder / "bin" / "python"


def corpora(folder, preset):
    """Makes the families of a preset in `folder`, those that are not there, with the generators in benches/corpus."""
    here, python = ROOT / "benches" / "corpus", venv()
    scale = {"small": 1, "medium": 10, "large": 50}[preset]
    makers = {
        "ft-bf16": [python, here / "checkpoints.py", "--preset", preset],
        "pg-plain": [here / "postgres.sh", "--scale", str(scale), "--tx", str(200 * scale)],
        "redis": ["/usr/bin/python3", here / "redis.py", "--keys", str(30_000 * scale)],
        "tree": ["/usr/bin/python3", here / "tree.py", "--files", str(600 * scale)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for family, command in makers.items():
        if not (folder / family).exists():
            subprocess.run([*command, "--out", folder.resolve(), "--seed", "7"], check=True)
    return sorted(path for path in folder.iterdir() if any(path.glob("v*")))

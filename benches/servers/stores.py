"""Object stores that run on this machine: three nodes of Garage, moto, or Azurite. Each is started in a folder and says what `snap` needs to reach it."""

import base64
import email.utils
import hashlib
import hmac
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Where servers are installed that are missing.
PLACE = ROOT / "target" / "servers"
BUCKET = "snap"
NODES = 3


def free_ports(count):
    """Ports that nobody listens at now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def said(command, **more):
    """Standard output of a command that must go well."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_for(what, is_there, seconds=60):
    until = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > until:
            sys.exit(f"{what} did not come up within {seconds} s")
        time.sleep(0.1)


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class Server:
    """A process that is started again as it was."""

    def __init__(self, command, log, env=None):
        self.command, self.log, self.env, self.process = command, log, env, None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()


def garage_program():
    """Garage, installed if it is missing: some ten minutes of a processor."""
    found = shutil.which("garage") or PLACE / "bin" / "garage"
    if not Path(found).exists():
        print("building garage, some ten minutes of processor time", file=sys.stderr)
        light = {f"CARGO_PROFILE_RELEASE_{key}": value for key, value in
                 {"LTO": "off", "OPT_LEVEL": "1", "DEBUG": "false", "CODEGEN_UNITS": "16"}.items()}
        said(["cargo", "install", "garage", "--version", "^2", "--locked", "--root", PLACE, "--target-dir", PLACE / "build",
              "--no-default-features", "--features", "bundled-libs,sqlite"], env=dict(os.environ, **light))
    return str(found)


class Azurite:
    """One process of Microsoft's emulator of its Blob Storage, which keeps objects in files."""

    keeps_conditions = True
    ways = 1
    scheme = "az"
    # The account and the key that every Azurite has; they are in its manual and open nothing else.
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, folder):
        program = shutil.which("azurite-blob") or PLACE / "azurite" / "node_modules" / ".bin" / "azurite-blob"
        if not Path(program).exists():
            print("installing azurite", file=sys.stderr)
            (PLACE / "azurite").mkdir(parents=True, exist_ok=True)
            said(["npm", "install", "--no-audit", "--no-fund", "--prefix", PLACE / "azurite", "azurite@^3"])
        folder.mkdir(parents=True)
        [port] = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}/{self.account}"
        self.server = Server([str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "data"), "--silent",
                              "--skipApiVersionCheck", "--disableTelemetry"], folder / "log")
        wait_for("azurite", lambda: answers(self.endpoint))
        self.make_container()

    def make_container(self):
        """The one request that `snap` never makes, signed as Azure wants it."""
        date, version = email.utils.formatdate(usegmt=True), "2023-11-03"
        named = f"x-ms-date:{date}\nx-ms-version:{version}\n/{self.account}/{self.account}/{BUCKET}\nrestype:container"
        signed = hmac.new(base64.b64decode(self.key), ("PUT" + "\n" * 12 + named).encode(), hashlib.sha256).digest()
        headers = {"x-ms-date": date, "x-ms-version": version, "Content-Length": "0",
                   "Authorization": f"SharedKey {self.account}:{base64.b64encode(signed).decode()}"}
        request = urllib.request.Request(f"{self.endpoint}/{BUCKET}?restype=container", method="PUT", headers=headers)
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as error:
            sys.exit(f"azurite made no container: {error} {error.read().decode(errors='replace')}")

    def variables(self, _node=0):
        return {"AZURE_STORAGE_ACCOUNT_NAME": self.account, "AZURE_STORAGE_ACCOUNT_KEY": self.key, "AZURE_STORAGE_ENDPOINT": self.endpoint,
                "AZURE_ALLOW_HTTP": "true"}

    def stop(self):
        self.server.end()


class Garage:
    """Three nodes that keep each object three times: a write is answered when two have it. It takes every `PUT`, whatever its condition."""

    keeps_conditions = False
    # Through how many endpoints it is reached.
    ways = NODES
    # What a location there begins with.
    scheme = "s3"

    def __init__(self, folder):
        self.program, secret, ports = garage_program(), secrets.token_hex(32), free_ports(3 * NODES)
        self.nodes, self.configs, self.endpoints = [], [], []
        for number in range(NODES):
            rpc, api, admin = ports[3 * number:3 * number + 3]
            home = folder / f"node{number}"
            home.mkdir(parents=True)
            config = home / "garage.toml"
            config.write_text(f"""
metadata_dir = "{home}/meta"
data_dir = "{home}/data"
db_engine = "sqlite"
replication_factor = {NODES}
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:{api}"

[admin]
api_bind_addr = "127.0.0.1:{admin}"
""")
            config.chmod(0o600)
            self.configs.append(config)
            self.endpoints.append(f"http://127.0.0.1:{api}")
            env = dict(os.environ, RUST_LOG="garage=warn")
            self.nodes.append(Server([self.program, "-c", str(config), "server"], home / "log", env))
        for endpoint in self.endpoints:
            wait_for("a node of Garage", lambda: answers(endpoint))
        names = [self.ask("node", "id", "-q", node=number).strip() for number in range(NODES)]
        for name in names[1:]:
            self.ask("node", "connect", name)
        for name in names:
            self.ask("layout", "assign", "-z", "here", "-c", "1G", name.split("@")[0])
        self.ask("layout", "apply", "--version", "1")
        self.key_id, self.secret = "GK" + secrets.token_hex(12), secrets.token_hex(32)
        self.ask("key", "import", "--yes", "-n", "snap", self.key_id, self.secret)
        self.ask("bucket", "create", BUCKET)
        self.ask("bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", self.key_id)

    def ask(self, *arguments, node=0):
        return said([self.program, "-c", self.configs[node], *arguments])

    def variables(self, node=0):
        """What tells `snap` how to reach it, through this node."""
        return {"AWS_ENDPOINT_URL": self.endpoints[node % NODES], "AWS_REGION": "garage", "AWS_ACCESS_KEY_ID": self.key_id,
                "AWS_SECRET_ACCESS_KEY": self.secret}

    def stop(self):
        for node in self.nodes:
            node.end()


class Moto:
    """One process that keeps objects in memory, and looks at conditions."""

    keeps_conditions = True
    ways = 1
    scheme = "s3"

    def __init__(self, folder):
        program = PLACE / "venv" / "bin" / "moto_server"
        if not program.exists():
            print("installing moto", file=sys.stderr)
            said([sys.executable, "-m", "venv", PLACE / "venv"])
            said([PLACE / "venv" / "bin" / "pip", "install", "-q", "moto[s3,server]>=5.1"])
        folder.mkdir(parents=True)
        [port] = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.server = Server([str(program), "-H", "127.0.0.1", "-p", str(port)], folder / "log")
        wait_for("moto", lambda: answers(self.endpoint))
        request = urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request).close()

    def variables(self, _node=0):
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto"}

    def stop(self):
        self.server.end()


STORES = {"azurite": Azurite, "garage": Garage, "moto": Moto}

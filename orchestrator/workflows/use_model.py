"""A made model and the tools that run it, for a user to talk to it.

What is missing is made first: of a recipe the file, of the tool chain the programs. Nothing is
measured.
"""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.base import machine_info
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.process import isolation
from orchestrator.base.process.environment_variables import clean_env
from orchestrator.base.step_values import Step
from orchestrator.engine import step_kinds
from orchestrator.engine.step_kinds import Brings
from orchestrator.modelfiles import detect_format, ggml, gguf, gguf_parts
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.planning import toolchain_steps
from orchestrator.planning.step_collector import StepCollector
from orchestrator.runs import load_and_plan, preflight
from orchestrator.runs.find_recipes import SUFFIXES
from orchestrator.runs.session import Session
from orchestrator.toolchain import argv_template, call_verb, find_toolchain
from orchestrator.toolchain.load import ToolChain

_CHAIN = "llama.cpp"
_PROJECTOR = "mmproj"


@dataclass(frozen=True)
class Ready:
    """A model's file (of several the first) and the folders of what runs it, by input name.

    ``name`` is what the model is called.
    """

    file: Path
    name: str
    chain: ToolChain
    tools: Mapping[str, Path]
    threads: int

    def argv(self, name: str, **values: Any) -> list[str]:
        """The command line of a verb of the tool chain.

        Raises:
            UsageError: The tool chain has no such verb.
        """
        root = self.tools["toolchain"]
        places = {"bin": str(root / "bin"), "exe": machine_info.exe(), "threads": str(self.threads)}
        filled = {**places, "input": str(self.file), **values}
        if _PROJECTOR in self.tools:
            [filled[_PROJECTOR]] = self.tools[_PROJECTOR].glob(f"*{self.chain.extension}")
        verb = _with_projector(self.chain, name, self.tools)
        return argv_template.expand(self.chain.verb(verb).argv, filled)

    def alone(self, argv: list[str], *, network: bool = False) -> list[str]:
        """The same without home folder and, unless it is to be reached, without network.

        Where the system cannot do that, it is the same.
        """
        # The file may be a link, and installed tools are, and load what lies beside them.
        linked = [one.parent for one in call_verb.referred(self.tools["toolchain"] / "bin")]
        seen = [self.file, self.file.parent, self.file.resolve().parent, *linked]
        seen += [Path.cwd()] if _PROJECTOR in self.tools else []  # pictures to look at
        visible = isolation.Visible((*seen, *self.tools.values()))
        path = clean_env().get("PATH", "")
        return isolation.around(argv, visible, Path("/"), path, network=network)

    def in_python(self, context: int) -> str:
        """Lines that load the model in Python, with the tool chain's bindings and library.

        Raises:
            UsageError: The tool chain has no Python bindings.
        """
        verb = self.chain.verb("complete_python")
        values = {"bin": str(self.tools["toolchain"] / "bin")}
        library = verb.env["LLAMA_CPP_LIB_PATH"].format_map(values)
        python = call_verb.environment_python(self.tools["environment"])
        return (
            f"LLAMA_CPP_LIB_PATH={shlex.quote(library)} {shlex.quote(str(python))}\n"
            ">>> from llama_cpp import Llama\n"
            f">>> model = Llama({str(self.file)!r}, n_ctx={context})\n"
            '>>> model.create_chat_completion([{"role": "user", "content": "Hello"}])\n'
        )


def prepare(what: Path, verb: str, session: Session) -> Ready:
    """Make what is missing of a recipe's file, or of the tools for a file that is there.

    Args:
        what: A recipe (file or name), or a model's file: GGUF, in parts too, or GGML.
        verb: What will be done with it.
        session: What all commands share; of a recipe its choice of a file.

    Raises:
        UsageError: It is neither, or damaged, or the tool chain cannot do that.
        StepError, EnvironmentProblem: Something could not be made.
    """
    if what.suffix in SUFFIXES or not what.exists():
        return _of_recipe(what, verb, session)
    file, chain = tools_for(what)
    steps = toolchain_steps.toolchain_steps(chain, session.choices)
    made = _made(session, steps, _tools(steps), chain, verb)
    return Ready(file, file.stem, chain, made, session.settings.threads)


def require_free(host: str, port: int) -> None:
    """Refuse an address that nobody can listen at, before anything is made for it.

    Raises:
        EnvironmentProblem: Another program listens there, or it is none of this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        socket.create_server((host, port), family=found[0][0]).close()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a machine"
        raise EnvironmentProblem(
            f"{host!r}, port {port}, cannot be listened at: {reason}",
            "Choose another with --port or --host.",
        ) from error


def how_to_ask(host: str, port: int, model: str) -> str:
    """The address, and a command that asks the model something."""
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/v1"
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return (
        f"Serving {model} at {address} until Ctrl-C. Ask it, once it is loaded, with:\n"
        f"  curl {address}/chat/completions -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps(asked))}"
    )


def _of_recipe(what: Path, verb: str, session: Session) -> Ready:
    own = replace(session, choices=replace(session.choices, verify=False))
    recipe = load_and_plan.load_one(what)
    [plan] = load_and_plan.make([recipe], own)
    output = plan.outputs[0]
    step = plan.step(output.step)
    parts = {name: key for name, key in plan.parts.items() if name == _PROJECTOR}
    wanted = {**_tools(plan.steps), **parts, "model": step.key}
    verb = _with_projector(plan.chain, verb, parts)
    made = dict(_made(own, plan.steps, wanted, plan.chain, verb))
    folder = made.pop("model")
    file = next(iter(sorted(folder.glob(f"{Path(output.artifact_file).stem}*"))))
    return Ready(file, Path(output.file).stem, plan.chain, made, session.settings.threads)


def _with_projector(chain: ToolChain, verb: str, there: Collection[str]) -> str:
    """The verb that does the same with a projector, where the model has one and it is another."""
    other = f"{verb}_{_PROJECTOR}"
    return other if _PROJECTOR in there and other in chain.verbs else verb


def _tools(steps: tuple[Step, ...]) -> dict[str, str]:
    """Keys of the steps that make tools, by the name under which others know their results."""
    names = {"toolchain": Brings.UPSTREAM, "environment": Brings.PACKAGES}
    found = {name: step_kinds.bringing(steps, what) for name, what in names.items()}
    return {name: step.key for name, step in found.items() if step is not None}


def _made(
    session: Session,
    steps: tuple[Step, ...],
    wanted: Mapping[str, str],
    chain: ToolChain,
    verb: str,
) -> Mapping[str, Path]:
    """Run the steps that are wanted, and say where their results lie."""
    program = chain.verb(verb).program  # asked before anything is made for it
    collector, keys = StepCollector(steps), dict(wanted)
    if program:
        build = collector.step(keys["toolchain"])
        keys["toolchain"] = toolchain_steps.add_program(collector, chain, program, build)
    preflight.succeeded(session.runner.run(collector.steps, list(keys.values())))
    found = {name: session.known.find(key) for name, key in keys.items()}
    return {name: one.path for name, one in found.items() if one is not None}


def tools_for(what: Path) -> tuple[Path, ToolChain]:
    """The file of a model that is there, and the tool chain that runs it; raises UsageError."""
    file = gguf_parts.only_set(what) if what.is_dir() else what
    if file is None:
        raise UsageError(f"{what} holds no model, or several", "Name one file in it.")
    kind = detect_format.kind(file)
    if kind == "gguf":
        _require_whole(file)
        return file.absolute(), find_toolchain.load(_CHAIN)
    if kind in {"ggml", "ggmf", "ggjt"}:
        layout = _layout(file, kind)
        chains = [one.chain for one in find_toolchain.every(Path.cwd())]
        fitting = [one for one in chains if one.layout == layout]
        if fitting:
            return file.absolute(), fitting[0]
    raise UsageError(
        f"{what} is no recipe and no model that a tool chain here can run",
        "Name a recipe (.yaml), a GGUF file, or a GGML file of one of the tool chains of 2023.",
    )


def _require_whole(file: Path) -> None:
    """Refuse a file that the tools could not load, before an address is shown for it."""
    try:
        gguf.read(file)
    except FormatError as error:
        raise UsageError(error.message, error.hint) from error


def _layout(file: Path, kind: str) -> str:
    """The layout of its types; of a file that has only floats, the newest, which reads all."""
    read = ggml.read(file, "bloom" if kind == "ggml" else "llama", complete=False)
    floats = {one.type for one in read.tensors} <= {"F16", "F32"}
    return "ggjt-v3" if floats and kind == "ggjt" else read.layout

"""The rules of the house that no linter knows: what loads early, what stays outside.

Who may import whom is held by import-linter's contracts, how branched a function may be by ruff.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from orchestrator.engine.step_kinds import KINDS
from orchestrator.measures import registry
from orchestrator.toolchain import load

ROOT = Path(__file__).resolve().parents[3]
HOUSE = Path(orchestrator.__file__).parent
MAX_FILE_LINES = 500
HEAVY = (
    *("pydantic", "rich", "requests", "huggingface_hub", "git", "yaml", "numpy", "pypi_simple"),
    *("jinja2", "sqlite3"),
)


def module_name(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def libraries() -> set[str]:
    """The top names of all that is imported, at the start or when it is needed."""
    found: set[str] = set()
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found


def test_what_is_printed_passes_the_function_that_makes_it_safe() -> None:
    """Only these modules write to a terminal; their own tests hold them to it."""
    printing = {"echo", "secho", "print"}
    found = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in printing
    }

    assert found == {
        "orchestrator.cli",
        "orchestrator.commands.shared_options",
        "orchestrator.engine.isolated_run",  # read by the process that started it
        "orchestrator.engine.progress_listeners",
        "orchestrator.sources.git_program",  # JSON for the process that started it
        "orchestrator.base.process.warm_program",  # a tool's last words, into its log
        "orchestrator.workflows.publishing.chat_prompt_program",  # JSON, too
    }


def test_every_library_that_is_imported_is_a_dependency() -> None:
    called = {
        "git": "gitpython",
        "yaml": "pyyaml",
        "pydantic_core": "pydantic",
    }
    foreign = libraries() - sys.stdlib_module_names - {"orchestrator", "__future__", "view_program"}

    assert {called.get(name, name) for name in foreign} <= dependencies() | extras()


def test_libraries_of_extras_are_imported_only_where_they_are_used() -> None:
    at_once = {
        (name, imported)
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in roots(node)
    }
    assert {one for one in at_once if one[1] in extras() - dependencies()} == set()


def roots(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The packages that an import is of."""
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    )
    return [name.partition(".")[0] for name in names]


def dependencies() -> set[str]:
    """The run-time dependencies, as modules are named."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return modules(text.partition("\ndependencies = [")[2].partition("]")[0])


def extras() -> set[str]:
    """Those of all extras but the one for tests."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = text.partition("\n[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return modules(lists.partition("\ntest = [")[0])


def modules(text: str) -> set[str]:
    """The names in a list of requirements; Python 3.10 has no reader for TOML."""
    return {
        re.split(r"[^A-Za-z0-9_-]", one)[0].lower().replace("-", "_")
        for one in re.findall(r"\"([^\"]+)\"", text)
    }


@pytest.mark.parametrize("call", ["Popen", "fork", "posix_spawn", "system", "execv", "execve"])
def test_only_the_process_rooms_start_processes(call: str) -> None:
    rooms = {
        "orchestrator.base.process.process_tree",
        "orchestrator.base.process.guard_program",
        "orchestrator.base.process.view_program",
        "orchestrator.base.process.warm_program",
        "orchestrator.base.process.run_process",
        "orchestrator.base.process.utf8_names",  # replaces its own process
    }
    users = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == call
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("os", "subprocess", "_winapi")
    }

    assert users <= rooms


def test_nothing_changes_the_working_folder_or_uses_a_shell() -> None:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                # A tool's fork has a folder of its own.
                fork = name.endswith(("process.view_program", "process.warm_program"))
                assert node.attr != "chdir" or fork, name
            if isinstance(node, ast.keyword):
                assert node.arg != "shell", name


def test_help_is_light() -> None:
    code = (
        "import sys\n"
        "from orchestrator.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print('loaded', *sorted(sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def sources() -> list[Path]:
    folders = (HOUSE, ROOT / "tests", ROOT / "scripts", ROOT / "vendor")
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def test_files_are_short() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in sources()}

    assert not {str(path): n for path, n in lines.items() if n > MAX_FILE_LINES}


def test_exceptions_are_not_swallowed() -> None:
    silent = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(one, ast.Pass) for one in node.body)
    ]

    assert not silent


def tracked() -> list[Path]:
    """What git keeps, or in an unpacked archive everything that is text."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
        )
        return [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in ROOT.rglob("*") if path.is_file()]


def test_no_package_registry_is_named_anywhere() -> None:
    hosts = [b"py" + b"pi.org", b"python" + b"hosted.org", b"npm" + b"js.org", b"deb." + b"debian"]
    named = [
        (str(path.relative_to(ROOT)), host.decode())
        for path in tracked()
        if path.is_file()
        for host in hosts
        if host in path.read_bytes()
    ]

    assert not named


def test_no_path_of_a_developer_machine_is_left() -> None:
    own = re.compile(rb"/(?:root|home/\w+)/|/wor" + rb"k/")
    suffixes = {".py", ".md", ".yaml", ".toml", ".txt", ".json", ".cmake", ""}
    named = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.is_file() and path.suffix in suffixes and own.search(path.read_bytes())
    ]

    assert not named


def test_every_kind_of_work_has_a_module_and_every_module_a_kind() -> None:
    steps = {name for name in MODULES if name.startswith("orchestrator.steps.")}

    assert {f"orchestrator.steps.{kind.module}" for kind in KINDS.values()} == steps
    assert all(kind.version >= 1 for kind in KINDS.values())


def test_every_folder_of_data_is_a_tool_chain_that_loads() -> None:
    folders = {path.name for path in (ROOT / "vendor").iterdir() if path.is_dir()}

    assert set(load.names()) == folders
    for name in folders:
        assert load.load(name).name == name


def test_python_never_spells_an_upstream_tool() -> None:
    tools = {
        target for name in load.names() for target in load.load(name).build.targets if "-" in target
    }
    strings = [
        (name, node.value)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in tools
    ]

    assert not strings


def is_kind(node: ast.expr) -> bool:
    """Whether an expression is ``step.kind`` or ``manifest["kind"]``."""
    if isinstance(node, ast.Attribute):
        return node.attr == "kind"
    return isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "'kind'"


def names_kinds(node: ast.AST) -> bool:
    """Whether an expression is the name of a kind of step, or holds some."""
    return any(isinstance(one, ast.Constant) and one.value in KINDS for one in ast.walk(node))


def asks_a_kind(node: ast.AST) -> bool:
    """Whether an expression compares a step's kind, looks it up, or lists kinds by name."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        # A name may stand for a kind, or for a collection of some.
        others = [one for one in sides if not is_kind(one)]
        asked = any(names_kinds(one) or isinstance(one, ast.Name) for one in others)
        return asked and len(others) < len(sides)
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.slice).endswith("step.kind")
    if isinstance(node, ast.Set):
        return all(map(names_kinds, node.elts))
    if isinstance(node, ast.Dict) and len(node.keys) > 1:
        return all(one is not None and names_kinds(one) for one in node.keys)
    return isinstance(node, ast.MatchValue) and names_kinds(node.value)


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ('step.kind == "build"', True),
        ('one["kind"] not in aside', True),
        ('step.kind in ("outline", "peek")', True),
        ("step.kind in TOOLS", True),
        ('frozenset({"build", "environment"})', True),
        ('{"fetch": sized, "merge": sized}', True),
        ("table[step.kind]", True),
        ('source["kind"] == "hub"', False),
        ('{"kind": step.kind}', False),
        ('graph.add("split", label, {}, {})', False),
    ],
)
def test_the_rule_about_kinds_sees_what_asks_a_kind(code: str, asks: bool) -> None:
    assert any(map(asks_a_kind, ast.walk(ast.parse(code)))) is asks


def test_only_the_table_of_kinds_knows_what_a_kind_means() -> None:
    table = "orchestrator.engine.step_kinds"
    found = [
        f"{name}:{getattr(node, 'lineno', '')} {ast.unparse(node)}"
        for name, tree in TREES.items()
        if name != table and not name.startswith("orchestrator.steps.")
        for node in ast.walk(tree)
        if asks_a_kind(node)
    ]

    assert not found


# Who outside measures/ may know a measure by its name, and why.
KNOW_MEASURES = {
    # What the columns of old databases were called.
    "orchestrator.history.schema": {"kld", "perplexity", "speed"},
    # The full file's logits are taken while its perplexity is, on that section's text.
    "orchestrator.planning.measure_steps": {"perplexity"},
    "orchestrator.steps.full_file_logits": {"perplexity"},
    # An importance matrix tells the perplexity of its calibration text, which is no measure.
    "orchestrator.steps.imatrix": {"perplexity"},
    # How many tokens sections ask for, held against the header's context before any fetch.
    "orchestrator.runs.header_checks": {"perplexity", "reference_logits", "smoke", "speed"},
    # 'verify FILE --corpus --prompt': options of a command, which are these sections.
    "orchestrator.runs.plan_one_file": {"perplexity", "smoke"},
    # Published numbers that a recipe may state.
    "orchestrator.recipe.verify_section": {"perplexity"},
    # The unquantized file's is held against that of earlier runs.
    "orchestrator.runs.bring_up_to_date": {"perplexity"},
    "orchestrator.runs.collect_results": {"perplexity"},
    "orchestrator.runs.earlier_perplexity": {"perplexity"},
    # 'new' asks for it where the original model fits the memory.
    "orchestrator.workflows.drafting.decide_draft": {"reference_logits"},
    # A search for a size goes by divergence, and states the perplexity of what it found.
    "orchestrator.commands.fit": {"kld"},
    "orchestrator.recipe.fit_section": {"kld"},
    "orchestrator.workflows.fitting.fitted_recipe": {"kld", "perplexity"},
    "orchestrator.workflows.fitting.probing": {"context_memory", "kld", "perplexity"},
    "orchestrator.workflows.fitting.start_search": {"kld"},
    # What transformers' files call a model's template, and recipes one that is put into headers.
    "orchestrator.recipe.cross_field_rules": {"chat_template"},
    "orchestrator.recipe.models": {"chat_template"},
    "orchestrator.recipe.yaml_positions": {"chat_template"},
    "orchestrator.runs.load_and_plan": {"chat_template"},
    "orchestrator.modelfiles.chat_templates": {"chat_template"},
    "orchestrator.workflows.drafting.survey_repository": {"chat_template"},
    # A card's example shows the smoke test's prompt.
    "orchestrator.workflows.publishing.model_card": {"smoke"},
}
# Recipes that 'new' and 'adopt' write begin with these sections.
TEMPLATES_KNOW = {
    "adopted.yaml.j2": {"speed"},
    "drafted.yaml.j2": {"chat_template", "perplexity", "reference_logits", "smoke", "speed"},
    "model_card.md.j2": {"smoke"},
}


def measure_names() -> set[str]:
    """Names of measures and their sections that are no everyday words."""
    names = {one.name for one in registry.measures()} | set(registry.sections())
    return names - {"header", "load", "memory", "embedding", "image"}


def known_measures(tree: ast.AST) -> set[str]:
    """Measures that code knows: names as texts, attributes or keywords, and any ``kld``."""
    names, found = measure_names(), set()
    for node in ast.walk(tree):
        for text in (getattr(node, part, None) for part in ("value", "attr", "arg", "id", "name")):
            if isinstance(text, str):
                found |= {text} & names | ({"kld"} if "kld" in text.lower() else set())
    return found


def test_only_the_room_of_measures_knows_measures_by_name() -> None:
    found = {
        name: known
        for name, tree in TREES.items()
        if not name.startswith("orchestrator.measures") and (known := known_measures(tree))
    }

    assert found == KNOW_MEASURES


def test_no_page_knows_a_measure_by_name() -> None:
    words = re.compile(rf"\b({'|'.join(sorted(measure_names()))})\b")
    found = {path.name: set(words.findall(path.read_text())) for path in HOUSE.rglob("*.j2")}

    assert {name: known for name, known in found.items() if known} == TEMPLATES_KNOW


@pytest.mark.parametrize(
    "code", ["row.kld", "f(kld=1)", "x = 'kld'", "found['max_kld']", "def kld(): ..."]
)
def test_the_rule_about_measures_sees_a_name(code: str) -> None:
    assert known_measures(ast.parse(code)) == {"kld"}

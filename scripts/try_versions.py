"""Make recipes with other commits of llama.cpp, and write down what came out.

    python scripts/try_versions.py [--out FOLDER] [--recipes NAME ...] VERSION ...
    python scripts/try_versions.py --write

NAME is a recipe of recipes/tiny, or of recipes, or one of the two of scripts/mix_models.py.
VERSION is one of llama-cpp-python in vendor/llama.cpp/sdists.txt, whose sdist holds the commit,
or a commit. What a commit lacks is left out of the recipe. Each run goes through the command
line; what it made is kept in FOLDER/results.json. --write puts what ended well under 'tried' in
vendor/llama.cpp/toolchain.yaml, and makes docs/reference/versions.md of that. Nothing is written of
a commit that was not run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))

import mix_models

from orchestrator.commands import shared_options
from orchestrator.modelfiles.comparing.compare import compare
from orchestrator.planning import toolchain_steps
from orchestrator.runs import chain_at_commit
from orchestrator.toolchain import find_toolchain, load
from orchestrator.toolchain.load import ToolChain
from orchestrator.toolchain.model import Source, Tried

ROOT = Path(__file__).resolve().parents[1]
RECIPES, PAGE = ROOT / "recipes", ROOT / "docs" / "reference" / "versions.md"
TINY = RECIPES / "tiny"
SAME = ("identical", "same tensors")
DATA = ROOT / "vendor" / "llama.cpp" / "toolchain.yaml"
MARK = "  # Written by scripts/try_versions.py.\n  tried:\n"
# Tags in the git folders of those sdists.
RELEASES = {"b38a16df": "b1573", "15499eb9": "b2249", "9c77ec1d": "b3184"}
PINNED_DATE = "2026-10-01"
HEAD = """\
# Versions of llama.cpp

Written by `scripts/try_versions.py`, which runs recipes with other commits of llama.cpp, from the
source to measured files: what a commit lacks is left out of the recipe. These went through without
a failed check. Any other may work, and `plan` says that it was not tried.

The files are compared with those that the pinned commit makes of the same model: how many have its
bytes, and how many its tensors, to the bit. `mix-grouped` and `mix-mixture` are untrained models of
`scripts/mix_models.py` (four heads that share a key; eight experts), on which mixes such as Q4_K_M
depend; they are made, not measured.

| Date | Commit | Release | llama-cpp-python | Same bytes | Same tensors | |
| --- | --- | --- | --- | --- | --- | --- |"""
FILES = """\
Where only the bytes differ, it is the header: older versions write keys and tensors in another
order, and other keys ([orchestrate diff](../how-to/compare.md) tells). A file whose tensors differ
was quantized otherwise, or made of an unquantized file that was converted otherwise.

## Digests
"""


def main() -> None:
    """Try versions, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("versions"))
    parser.add_argument("--recipes", nargs="+", default=["llama"])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("versions", nargs="*")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    store = given.out / "results.json"
    found: dict[str, Any] = json.loads(store.read_text("utf-8")) if store.exists() else {}
    for version in given.versions:
        for name in given.recipes:
            result = tried(version, name, given.out.resolve())
            found.setdefault(result["commit"], {})[name] = result
            store.write_text(json.dumps(found, indent=1, sort_keys=True), "utf-8")
    if given.write:
        against_pinned(found)
        put(noted(found, find_toolchain.load("llama.cpp").source))
        load.load.cache_clear()
        PAGE.write_text(page(find_toolchain.load("llama.cpp")), "utf-8")


def commit_of(version: str, chain: ToolChain) -> str:
    """The commit that a version's sdist holds; else what is given is one itself."""
    return next((one.commit for one in chain.source.mirrors if one.version == version), version)


def tried(version: str, name: str, out: Path) -> dict[str, Any]:
    """Run one recipe with one commit; its digests, or the last lines of what went wrong."""
    chain = find_toolchain.load("llama.cpp")
    commit = commit_of(version, chain)
    with shared_options.session({"offline": False}) as session:
        own = chain_at_commit.at_commit(chain, commit, session)
        looked = session.known.find(toolchain_steps.look(chain, commit).key)
    recipe = out / f"{name}-{version}.yaml"
    known = adapted(*_recipe(name, out), own, commit)
    recipe.write_text(yaml.safe_dump(known, sort_keys=False), "utf-8")
    program = Path(sys.executable).with_name("orchestrate")
    command = [str(program), "run", str(recipe), "--out", str(out / version), "--json"]
    command += [] if "verify" in known else ["--no-verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr[-3000:], file=sys.stderr)
    result = {"version": version, "commit": commit, "code": done.returncode}
    result |= {"name": known["name"], "date": looked.facts["date"] if looked else PINNED_DATE}
    result |= {"variants": list(own.held or ()), "said": done.stderr.splitlines()[-6:]}
    report = out / version / known["name"] / "report.json"
    return result | (_made(json.loads(report.read_text("utf-8"))) if report.exists() else {})


def _recipe(name: str, out: Path) -> tuple[dict[str, Any], Path]:
    """A recipe, and the folder that its paths are seen from."""
    if name in ("grouped", "mixture"):
        return mix_models.write(name, out / "models" / f"mix-{name}"), out
    file = next(one for one in (TINY / f"{name}.yaml", RECIPES / f"{name}.yaml") if one.exists())
    return yaml.safe_load(file.read_text("utf-8")), file.parent


def adapted(recipe: dict[str, Any], folder: Path, chain: ToolChain, commit: str) -> dict[str, Any]:
    """The recipe without what the commit lacks, and without the pinned commit's checksums."""
    recipe["toolchain"] = {"name": "llama.cpp", "commit": commit}
    recipe["quantize"] = [one for one in recipe["quantize"] if _has(chain, one)]
    if "imatrix" not in chain.verbs:
        recipe.pop("imatrix", None)
    verify = recipe.get("verify", {})
    verify.pop("sha256", None)
    if verify and "divergence" not in chain.verbs:
        verify.pop("kld")
        verify["limits"] = {"max_ppl_increase": verify["limits"]["max_ppl_increase"]}
    if (
        recipe.get("convert", {}).get("tokenizer_pre")
        and "tokenizer_pre" not in chain.options["convert"]
    ):
        del recipe["convert"]
    for place, key in ((recipe["model"], "path"), *_texts(recipe)):
        if key in place:
            place[key] = os.path.normpath(folder / place[key])
    return recipe


def _texts(recipe: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    perplexity = recipe.get("verify", {}).get("perplexity", {})
    return [(recipe.get("imatrix", {}), "corpus"), (perplexity, "corpus")]


def _has(chain: ToolChain, quant: Any) -> bool:
    known = quant if isinstance(quant, dict) else {"type": quant}
    weighed = not known.get("imatrix") or "imatrix" in chain.verbs
    mixed = not known.get("tensor_types") or chain.tensor_types
    kind = known["type"] in chain.types or known["type"] == "COPY"
    return bool(kind and weighed and mixed)


def _made(report: dict[str, Any]) -> dict[str, Any]:
    files = {row["type"]: row["sha256"] for row in report["files"]}
    numbers = {row["type"]: [row["perplexity"], row["kld"]] for row in report["files"]}
    made = {"files": files, "numbers": numbers}
    return made | {"status": report["status"], "notes": report["notes"]}


def against_pinned(found: dict[str, Any]) -> None:
    """Note of every file of these runs whether its tensors are those of the pinned commit's.

    The files are taken from the store that they were made in.
    """
    pinned = found[find_toolchain.load("llama.cpp").source.commit]
    stored = _stored()
    for runs in found.values():
        for name, run in runs.items():
            mine, theirs = run.get("files", {}), pinned.get(name, {}).get("files", {})
            run["differ"] = [
                kind
                for kind in sorted(mine.keys() & theirs.keys())
                if mine[kind] != theirs[kind]
                and compare(stored[mine[kind]], stored[theirs[kind]], values=False).verdict.value
                not in SAME
            ]


def _stored() -> dict[str, Path]:
    """The model files of the store by their SHA-256."""
    return {
        str(entry["sha256"]): one.path / name
        for one in shared_options.store().artifacts()
        for name, entry in one.manifest["files"].items()
        if name.endswith(".gguf")
    }


def noted(found: dict[str, Any], source: Source) -> list[Tried]:
    """The commits that were tried so far, and those that ended well now."""
    known = {one.commit: one for one in source.tried}
    for commit, runs in found.items():
        good = {name: run for name, run in runs.items() if run["code"] == 0 and run.get("files")}
        files = {
            f"{run['name']}-{kind}": sha256
            for run in good.values()
            for kind, sha256 in run["files"].items()
        }
        differ = {
            f"{run['name']}-{kind}" for run in good.values() for kind in run.get("differ", ())
        }
        if good:
            old = known.get(commit)
            date = next(iter(good.values()))["date"]
            known[commit] = Tried(
                commit=commit,
                date=date,
                release=old.release if old else RELEASES.get(commit[:8], ""),
                about=old.about if old else "",
                files={**(old.files if old else {}), **files},
                differ=tuple(sorted(differ | {*(old.differ if old else ())} - files.keys())),
            )
    return sorted(known.values(), key=lambda one: one.date, reverse=True)


def put(tried_: list[Tried]) -> None:
    """Write them into the tool chain's data, in place of what is there."""
    text = DATA.read_text("utf-8")
    head, _, rest = text.partition(MARK)
    rest = rest[rest.index("\nbuild:") :]
    lines = yaml.safe_dump(
        [one.model_dump(exclude_defaults=True) for one in tried_], sort_keys=False, width=200
    )
    block = "".join(f"    {line}\n" for line in lines.splitlines())
    DATA.write_text(f"{head}{MARK}{block}{rest}", "utf-8")


def page(chain: ToolChain) -> str:
    """The page of all that was tried, from the tool chain's data alone."""
    versions = {one.commit: one.version for one in reversed(chain.source.mirrors)}
    pinned = next(
        iter(one for one in chain.source.tried if one.commit == chain.source.commit), None
    )
    rows = [
        f"| {one.date} | `{one.commit[:12]}` | {one.release} | {versions.get(one.commit, '')} | "
        f"{_alike(one, pinned)} | {one.about} |"
        for one in chain.source.tried
    ]
    parts = [HEAD, *rows, "", FILES]
    for one in chain.source.tried:
        head = ["| File | SHA-256 | Against the pinned commit |", "| --- | --- | --- |"]
        parts += [f"### {one.date}: {one.commit}", "", *head]
        parts += [
            f"| {name} | `{sha256}` | {_verdict(one, name, pinned)} |"
            for name, sha256 in one.files.items()
        ]
        parts.append("")
    return "\n".join(parts)


def _alike(one: Tried, pinned: Tried | None) -> str:
    """How many files are those of the pinned commit, to the byte and in their tensors."""
    if pinned is None or one is pinned:
        return f"{len(one.files)} files | "
    known = [_verdict(one, name, pinned) for name in one.files]
    of = len(list(filter(None, known)))
    same = known.count("same bytes")
    return f"{same} of {of} | {same + known.count('same tensors')} of {of}"


def _verdict(one: Tried, name: str, pinned: Tried | None) -> str:
    if pinned is None or one is pinned or name not in pinned.files:
        return ""
    if one.files[name] == pinned.files[name]:
        return "same bytes"
    return "other tensors" if name in one.differ else "same tensors"


if __name__ == "__main__":
    main()

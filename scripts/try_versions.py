"""Make the tiny recipes with other commits of llama.cpp, and write down what came out.

    python scripts/try_versions.py [--out FOLDER] [--recipes NAME ...] VERSION ...
    python scripts/try_versions.py --write

VERSION is one of llama-cpp-python in vendor/llama.cpp/sdists.txt, whose sdist holds the commit,
or a commit. What a commit lacks is left out of the recipe. Each run goes through the command
line; what it made is kept in FOLDER/results.json. --write puts what ended well under 'tried' in
vendor/llama.cpp/toolchain.yaml, and makes docs/reference/versions.md of that. Nothing is written of
a commit that was not run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from orchestrator.commands import shared_options
from orchestrator.planning import toolchain_steps
from orchestrator.runs import chain_at_commit
from orchestrator.toolchain import find_toolchain, load
from orchestrator.toolchain.load import ToolChain
from orchestrator.toolchain.model import Source, Tried

ROOT = Path(__file__).resolve().parents[1]
TINY, PAGE = ROOT / "recipes" / "tiny", ROOT / "docs" / "reference" / "versions.md"
DATA = ROOT / "vendor" / "llama.cpp" / "toolchain.yaml"
MARK = "  # Written by scripts/try_versions.py.\n  tried:\n"
# Tags in the git folders of those sdists.
RELEASES = {"b38a16df": "b1573", "15499eb9": "b2249", "9c77ec1d": "b3184"}
PINNED_DATE = "2026-10-01"
HEAD = """\
# Versions of llama.cpp

Written by `scripts/try_versions.py`, which runs the tiny recipes with other commits of llama.cpp,
from the source to measured files: what a commit lacks is left out of the recipe. These went
through with every check passed. Any other may work, and `plan` says that it was not tried.

| Date | Commit | Release | llama-cpp-python | The pinned commit's bytes | |
| --- | --- | --- | --- | --- | --- |"""
FILES = """\
Where the bytes differ, the tensors need not: older versions write keys and tensors in another
order, and other keys ([orchestrate diff](../how-to/compare.md) tells).

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
    found = json.loads(store.read_text("utf-8")) if store.exists() else {}
    for version in given.versions:
        for name in given.recipes:
            result = tried(version, name, given.out.resolve())
            found.setdefault(result["commit"], {})[name] = result
            store.write_text(json.dumps(found, indent=1, sort_keys=True), "utf-8")
    if given.write:
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
    recipe.write_text(yaml.safe_dump(adapted(name, own, commit), sort_keys=False), "utf-8")
    program = Path(sys.executable).with_name("orchestrate")
    command = [str(program), "run", str(recipe), "--out", str(out / version), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr[-3000:], file=sys.stderr)
    result = {"version": version, "commit": commit, "code": done.returncode, "name": name}
    report = out / version / f"tiny-{name}" / "report.json"
    result |= {"date": looked.facts["date"] if looked else PINNED_DATE}
    result |= {"variants": list(own.held or ()), "said": done.stderr.splitlines()[-6:]}
    return result | (_made(json.loads(report.read_text("utf-8"))) if report.exists() else {})


def adapted(name: str, chain: ToolChain, commit: str) -> dict[str, Any]:
    """The recipe without what the commit lacks, and without the pinned commit's checksums."""
    recipe = yaml.safe_load((TINY / f"{name}.yaml").read_text("utf-8"))
    recipe["toolchain"] = {"name": "llama.cpp", "commit": commit}
    recipe["model"]["path"] = str(TINY / recipe["model"]["path"])
    recipe["quantize"] = [one for one in recipe["quantize"] if _has(chain, one)]
    if "imatrix" in chain.verbs and "imatrix" in recipe:
        recipe["imatrix"]["corpus"] = str(TINY / recipe["imatrix"]["corpus"])
    else:
        recipe.pop("imatrix", None)
    verify = recipe["verify"]
    verify.pop("sha256", None)
    verify["perplexity"]["corpus"] = str(TINY / verify["perplexity"]["corpus"])
    if "divergence" not in chain.verbs:
        del verify["kld"], verify["limits"]["max_mean_kld"], verify["limits"]["min_same_top"]
    if recipe.get("convert") and "tokenizer_pre" not in chain.options:
        del recipe["convert"]
    return dict(recipe)


def _has(chain: ToolChain, quant: Any) -> bool:
    known = quant if isinstance(quant, dict) else {"type": quant}
    weighed = not known.get("imatrix") or "imatrix" in chain.verbs
    return known["type"] in chain.types and weighed


def _made(report: dict[str, Any]) -> dict[str, Any]:
    files = {row["type"]: row["sha256"] for row in report["files"]}
    numbers = {row["type"]: [row["perplexity"], row["kld"]] for row in report["files"]}
    made = {"files": files, "numbers": numbers}
    return made | {"status": report["status"], "notes": report["notes"]}


def noted(found: dict[str, Any], source: Source) -> list[Tried]:
    """The commits that were tried so far, and those that ended well now."""
    known = {one.commit: one for one in source.tried}
    for commit, runs in found.items():
        good = {name: run for name, run in runs.items() if run["code"] == 0 and run.get("files")}
        files = {
            f"tiny-{name}-{kind}": sha256
            for name, run in good.items()
            for kind, sha256 in run["files"].items()
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
        parts += [f"### {one.date}: {one.commit}", "", "| File | SHA-256 |", "| --- | --- |"]
        parts += [f"| {name} | `{sha256}` |" for name, sha256 in one.files.items()]
        parts.append("")
    return "\n".join(parts)


def _alike(one: Tried, pinned: Tried | None) -> str:
    """How many files are those of the pinned commit, to the byte."""
    if pinned is None or one is pinned:
        return f"{len(one.files)} files"
    same = sum(pinned.files.get(name) == sha256 for name, sha256 in one.files.items())
    return f"{same} of {len(one.files)}"


if __name__ == "__main__":
    main()

"""Hubs that serve the miniatures under the real names and revisions."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.hub import Hub, Repo
from tests.miniatures.repositories import Layout, wikitext

# As the recipes pin them; the others are named by their branch.
REVISIONS = {
    "huggyllama/llama-7b": "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16",
    "bigscience/bloomz-7b1": "2f4c4f3ebcf171dbbe2bae989ea2d2f3d3486a97",
    "tiiuae/falcon-7b": "898df1396f35e447d5fe44e0a3ccaaaa69f30d36",
    "THUDM/chatglm3-6b": "e9e0406d062cdb887444fe5bd546833920abd4ac",
    "HuggingFaceTB/SmolVLM-256M-Instruct": "7e3e67edbbed1bf9888184d9df282b700a323964",
    "BAAI/bge-small-en-v1.5": "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
    "BAAI/bge-reranker-v2-m3": "953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e",
    "allenai/OLMoE-1B-7B-0924-Instruct": "7f1c97f440f06ce36705e4f2b843edb5925f4498",
    "Qwen/Qwen3.5-0.8B": "2fc06364715b967f1860aea9cf38778875588b17",
}
_SCRIPT = Path(__file__).with_name("torch_files.py")


def revision(name: str) -> str:
    """The commit at which a repository is served."""
    return REVISIONS.get(name) or hashlib.sha1(name.encode()).hexdigest()


def torch_writes(layouts: Iterable[Layout], python: Path, scratch: Path) -> None:
    """Write the weight files of layouts with a tool chain's Python."""
    jobs = [job for layout in layouts for job in layout.jobs]
    scratch.mkdir(parents=True, exist_ok=True)
    listed = scratch / "jobs.json"
    listed.write_text(json.dumps(jobs))
    subprocess.run([str(python), "-I", str(_SCRIPT), str(listed)], check=True, timeout=300)


def make(root: Path, table: Mapping[str, Callable[[Layout], None]], python: Path) -> Hub:
    """Lay out the repositories of ``table`` below ``root``; the Hub is not started yet."""
    layouts = {}
    for name, lay_out in table.items():
        layouts[name] = Layout(root / name)
        layouts[name].folder.mkdir(parents=True)
        (layouts[name].folder / "README.md").write_text(f"A miniature of {name}.\n")
        (layouts[name].folder / ".gitattributes").write_text("*.bin filter=lfs\n")
        lay_out(layouts[name])
    torch_writes(layouts.values(), python, root / "jobs")
    wikitext(root / "datasets")
    return Hub(
        {name: Repo(layout.folder, revision(name)) for name, layout in layouts.items()},
        {"ggml-org/ci": Repo(root / "datasets", revision("ggml-org/ci"))},
    )

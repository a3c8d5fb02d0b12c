"""Which caches the environment names."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.shared_cache.stated_places import from_environment
from tests.support.signing_keys import keys


def test_without_the_variable_there_is_none() -> None:
    assert from_environment({}) == Remote()
    assert from_environment({"ORCHESTRATE_REMOTE": "  "}) == Remote()


def test_addresses_stand_in_their_order_with_their_marks() -> None:
    stated = "file:///a/ s3://b/c#private  ssh://h/d#read-only,private"

    assert from_environment({"ORCHESTRATE_REMOTE": stated}).places == (
        Place("file:///a"),
        Place("s3://b/c", private=True),
        Place("ssh://h/d", read_only=True, private=True),
    )


def test_a_file_says_all(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    file = tmp_path / "team.yaml"
    file.write_text(
        "places: [{url: 's3://b', read_only: true}]\n"
        "trust: [key.pub.pem]\nsign_key: key.pem\npatience: 1.5\nfinish: 0\n"
    )

    found = from_environment({"ORCHESTRATE_REMOTE": str(file)})

    assert found == Remote((Place("s3://b", read_only=True),), (public,), secret, 1.5, 0.0)
    assert pickle.loads(pickle.dumps(found)) == found


def test_keys_can_stand_in_the_environment(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    other = keys(tmp_path, "other")[1]
    named = {
        "ORCHESTRATE_REMOTE": "s3://b",
        "ORCHESTRATE_REMOTE_TRUST": f"{public}{os.pathsep}{other}",
        "ORCHESTRATE_REMOTE_SIGN_KEY": str(secret),
    }

    found = from_environment(named)

    assert (found.trust, found.sign_key) == ((public, other), secret)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("places: [{url: 's3://b', secret: x}]", "places.0.secret"),
        ("places: [{url: 'b'}]", "places.0.url: this is no address of a cache"),
        ("places: [{url: 's4://b'}]", "no library knows addresses that begin with s4://"),
        ("", "it is no table with 'places'"),
        ("- a", "it is no table with 'places'"),
        ("places: {}", "places"),
        ("trust: []", "places: Field required"),
        ("places: []\npatience: 0", "patience"),
        ("places: []\ntrust: [missing.pem]", "there is no key"),
        ("[", "cannot be read"),
        ("places: [{url: 'user:pass-word@host'}]", "no address"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "team.yaml"
    file.write_text(text)

    with pytest.raises(UsageError, match=why) as raised:
        from_environment({"ORCHESTRATE_REMOTE": str(file)})

    assert "pass-word" not in str(raised.value)


def test_offline_leaves_the_disks() -> None:
    both = Remote((Place("s3://b"), Place("file:///a")), patience=3)

    assert both.offline() == Remote((Place("file:///a"),), patience=3)


def test_a_password_is_not_shown() -> None:
    assert Place("ssh://me:pass-word@host/x").shown == "ssh://host/x"


def test_nothing_is_imported_where_there_is_no_cache() -> None:
    code = (
        "import sys; from orchestrator.runs.session import Session;"
        "from orchestrator.runs import bring_up_to_date;"
        "heavy = {'fsspec', 's3fs', 'securesystemslib', 'requests'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

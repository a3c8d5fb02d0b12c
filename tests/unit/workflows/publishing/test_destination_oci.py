"""A registry gets models as Docker's model specification wants them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import docker_registry
from tests.support.oci_registry import Registry, digest_of, serving
from tests.support.publications import RecipeFolder

GGUF, LICENSE = "application/vnd.docker.ai.gguf.v3", "application/vnd.docker.ai.license"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        yield found


def test_each_file_gets_its_type_as_tag_and_the_recommended_one_is_the_latest(
    finished: RecipeFolder, registry: Registry
) -> None:
    said = finished.publish("--to", f"oci:{registry.host}/me/small")
    assert said.code == 0, said.err
    assert set(registry.manifests) == {"Q4_0", "IQ4_XS", "latest"}
    config, layers = registry.pulled("Q4_0")
    assert layers[0] == (finished.dist / "small-Q4_0.gguf").read_bytes()
    assert layers[1] == b"You may.\n"
    told = json.loads(registry.manifests["Q4_0"])
    assert [one["mediaType"] for one in told["layers"]] == [GGUF, LICENSE]
    assert told["config"]["mediaType"] == "application/vnd.docker.ai.model.config.v0.1+json"
    assert config["config"]["gguf"]["quantization"] == "Q4_0"
    assert config["config"]["size"] == str(len(layers[0]))
    assert [one["diffID"] for one in config["files"]] == [digest_of(one) for one in layers]
    assert registry.manifests["latest"] in (
        registry.manifests["Q4_0"],
        registry.manifests["IQ4_XS"],
    )


def test_a_tag_is_for_the_recommended_file_alone(
    finished: RecipeFolder, registry: Registry
) -> None:
    finished.write(license="mit", recommended="IQ4_XS")
    assert finished.publish("--to", f"oci:{registry.host}/me/small:v1").code == 0
    assert set(registry.manifests) == {"v1"}
    config, _ = registry.pulled("v1")
    assert config["config"]["quantization"] == "IQ4_XS"


def test_a_projector_goes_with_each_text_file_and_a_separate_head_with_none(
    recipe_folder: RecipeFolder, registry: Registry
) -> None:
    text = recipe_folder.recipe.read_text()
    parts = "mmproj: {outtype: f16}\nmtp: separate\nquantize:"
    recipe_folder.write(text.replace("quantize:", parts))
    recipe_folder.run()

    assert recipe_folder.publish("--to", f"oci:{registry.host}/me/small").code == 0

    assert set(registry.manifests) == {"Q4_0", "IQ4_XS", "latest"}
    told = json.loads(registry.manifests["Q4_0"])
    assert [one["mediaType"] for one in told["layers"]][:2] == [GGUF, f"{GGUF}.mmproj"]
    _, layers = registry.pulled("Q4_0")
    assert layers[1] == (recipe_folder.dist / "mmproj-small-F16.gguf").read_bytes()
    assert GGUF not in [one["mediaType"] for one in told["layers"]][1:]


def test_what_is_there_is_not_sent_again(finished: RecipeFolder, registry: Registry) -> None:
    to = f"oci:{registry.host}/me/small"
    dry = finished.publish("--to", to, "--dry-run")
    assert f"{to} (to be made)" in dry.out
    assert registry.manifests == {}
    finished.publish("--to", to)
    registry.log.clear()
    again = finished.publish("--to", to)
    assert again.out.splitlines()[-1] == f"Everything was there already: {registry.host}/me/small"
    assert {method for method, _ in registry.log} == {"GET", "HEAD"}


def test_a_registry_that_refuses_is_told_with_the_way_to_log_in(
    finished: RecipeFolder, registry: Registry
) -> None:
    registry.closed = True
    said = finished.publish("--to", f"oci:{registry.host}/me/small")
    assert said.code == 3
    assert f"docker login {registry.host}" in said.err


@pytest.mark.parametrize(
    "place", ["oci:nohost", "oci:host/Upper", "oci:host/name:", "oci:a/b:c d", "oci:a:65536/b"]
)
def test_what_is_no_reference_is_refused(finished: RecipeFolder, place: str) -> None:
    said = finished.publish("--to", place)
    assert said.code == 2
    assert "'oci:registry/name:tag'" in said.err


@pytest.mark.skipif(docker_registry.PROGRAM is None, reason="docker-registry is not installed")
def test_docker_s_own_registry_takes_and_gives_the_same_bytes(
    finished: RecipeFolder, tmp_path: Path
) -> None:
    with docker_registry.running(tmp_path / "registry") as real:
        to = f"oci:{real.host}/me/small"
        said = finished.publish("--to", to)
        assert said.code == 0, said.err
        assert real.tags("me/small") == {"Q4_0", "IQ4_XS", "latest"}
        told = real.manifest("me/small", "Q4_0")
        model, *_ = told["layers"]
        assert model["mediaType"] == GGUF
        content = real.blob("me/small", model["digest"])
        assert content == (finished.dist / "small-Q4_0.gguf").read_bytes()
        config = json.loads(real.blob("me/small", told["config"]["digest"]))
        assert config["config"]["gguf"]["quantization"] == "Q4_0"
        again = finished.publish("--to", to)
        assert again.out.splitlines()[-1] == f"Everything was there already: {real.host}/me/small"

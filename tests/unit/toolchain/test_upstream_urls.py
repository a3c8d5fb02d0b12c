"""Where an upstream shows its commits and changes."""

from __future__ import annotations

from orchestrator.toolchain import upstream_urls


def test_a_commit_s_change_is_the_pull_request_that_its_subject_ends_with() -> None:
    source = "https://github.com/ggml-org/llama.cpp"
    url = upstream_urls.change_url(source, "ggml : faster (see #12) (#15550)")
    assert url == "https://github.com/ggml-org/llama.cpp/pull/15550"
    assert upstream_urls.change_url(source, "sync : (#1) of ggml") == ""
    assert upstream_urls.change_url("/srv/llama.cpp", "x (#1)") == ""

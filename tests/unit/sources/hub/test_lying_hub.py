"""Hubs that lie: exit 3 and one sentence, at once, and nothing anywhere but in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from orchestrator.base.errors import EXIT_ENVIRONMENT
from orchestrator.base.process import run_process
from orchestrator.sources.hub.cache import CachedRepo
from tests.hub import Fault, Hub, Repo, lies
from tests.hub.content import as_json
from tests.support import lying_rounds
from tests.support.hub_repositories import COMMIT, CONFIG, NAME, WEIGHTS
from tests.support.lying_hub import Outcome, asking, attempt, hasty, left_behind, recovers, served

API = "api"


@pytest.fixture
def honest(tmp_path: Path) -> Repo:
    return served(tmp_path / "served")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "inside" / "deeper" / "cache"


@pytest.fixture
def hub(honest: Repo, cache: Path) -> Iterator[Hub]:
    with Hub({NAME: honest}) as running, asking(running, cache):
        yield running


def require_refused(outcome: Outcome, hub: Hub) -> None:
    """One sentence and what to do, exit 3, in time."""
    assert (outcome.kind, outcome.bug) == ("exit 3", None)
    assert outcome.code == EXIT_ENVIRONMENT
    assert hub.url in outcome.said or NAME in outcome.said
    assert len(outcome.said) < 1000


@pytest.mark.parametrize("lie", lies.ABOUT_REPOSITORY)
def test_a_listing_of_another_shape_is_refused(
    lie: str, hub: Hub, honest: Repo, cache: Path, tmp_path: Path
) -> None:
    hub.fault(API, lies.of_repository(honest, NAME, lies.ABOUT_REPOSITORY[lie]))
    require_refused(attempt("listing", honest, cache), hub)
    assert left_behind(tmp_path / "inside", cache) == []
    assert hub.asked(CONFIG) == []


@pytest.mark.parametrize("step", ["resolve", "listing"])
@pytest.mark.parametrize("lie", lies.ABOUT_ANSWERS)
def test_an_answer_of_the_api_of_no_shape_is_refused(
    lie: str, step: str, hub: Hub, honest: Repo, cache: Path
) -> None:
    hub.fault(API, lies.ABOUT_ANSWERS[lie]())
    with hasty() if lie in lies.SLOW else nullcontext():
        require_refused(attempt(step, honest, cache), hub)


# A header step sees no digest; and a file that is the right one, whatever headers say, is right.
FITS: dict[str, set[str]] = {
    "an ETag that is a path": {"header", "small file", "weights", "resume"},
    "a cookie of odd letters": {"header", "small file", "weights", "resume"},
    "other content": {"header"},
    "ten bytes more": {"header"},
    "ten bytes fewer": {"header"},
    "no end": {"header"},
    "a range of a longer file": {"header"},
}


@pytest.mark.parametrize("step", ["header", "small file", "weights", "resume"])
@pytest.mark.parametrize("lie", lies.ABOUT_FILES)
def test_a_file_that_is_another_one_is_refused_and_not_kept(
    lie: str, step: str, hub: Hub, honest: Repo, cache: Path, tmp_path: Path
) -> None:
    target = CONFIG if step == "small file" else WEIGHTS
    hub.fault(target, lies.ABOUT_FILES[lie]((honest.folder / target).read_bytes()))
    with hasty() if lie in lies.SLOW else nullcontext():
        outcome = attempt(step, honest, cache)
    assert (outcome.bug, outcome.hung) == (None, False)
    if step not in FITS.get(lie, ()):
        assert outcome.code in (1, EXIT_ENVIRONMENT), outcome
    assert left_behind(tmp_path / "inside", cache) == []
    assert hub.served(target) < 20_000_000
    hub.forgive()
    assert recovers(honest, cache)


def test_a_file_that_stays_wrong_is_in_the_cache_under_no_name(
    hub: Hub, honest: Repo, cache: Path
) -> None:
    hub.fault(WEIGHTS, Fault("corrupt", times=2, at=500))
    assert "fetched twice and both times wrong" in attempt("weights", honest, cache).said
    repo = CachedRepo(cache, NAME)
    assert not repo.blob(honest.sha256(WEIGHTS)).exists()
    assert not repo.snapshot(COMMIT).joinpath(WEIGHTS).exists()


def _without_sizes(info: dict[str, object]) -> dict[str, object]:
    return {**info, "siblings": [{"rfilename": CONFIG}]}


def test_a_hub_without_sizes_is_asked_for_the_tree(
    hub: Hub, honest: Repo, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fault = lies.of_repository(honest, NAME, _without_sizes)
    fault.times = 1
    hub.fault(API, fault)
    assert attempt("listing", honest, cache) == Outcome()
    assert f"tells no sizes of {NAME}: asking for its tree" in caplog.text


@pytest.mark.parametrize(("link", "follows"), [("/api/models/x", False), ("http://evil/x", True)])
def test_the_token_goes_to_no_other_server_for_the_next_page(
    link: str, follows: bool, hub: Hub, honest: Repo, cache: Path
) -> None:
    for body, headers in (
        (as_json(_without_sizes(honest.info(NAME, blobs=True))), {}),
        (as_json(honest.tree()), {"Link": f'<{link}>; rel="next"'}),
    ):
        hub.fault(API, Fault("status", status=200, body=body, headers=headers))
    outcome = attempt("listing", honest, cache)
    assert ("its next page is at another server" in outcome.said) == follows


@pytest.mark.parametrize(
    ("step", "make"),
    [
        ("listing", lambda: Fault("endless-head", 99, pause=0.1)),
        ("weights", lambda: Fault("endless-head", 99, pause=0.1)),
        ("weights", lambda: Fault("endless", 99, status=200, body=b"x", pause=0.1)),
    ],
)
def test_an_interrupt_ends_what_never_ends(
    step: str,
    make: Callable[[], Fault],
    hub: Hub,
    honest: Repo,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.fault(API if step == "listing" else WEIGHTS, make())
    real = hub.log

    def pressed(request: object) -> None:
        real(request)  # type: ignore[arg-type]
        run_process.stop_all()

    monkeypatch.setattr(hub, "log", pressed)
    try:
        assert attempt(step, honest, cache).code == 130
    finally:
        run_process.resume()


@pytest.mark.campaign
def test_a_short_round_of_the_campaign_finds_nothing(tmp_path: Path) -> None:
    report = lying_rounds.round_of(tmp_path, seed=1, seconds=4.0, least=40)
    assert report.faults == []
    assert report.tries >= 40

"""When files of a repository on the Hub came there, and which commit it had at a time."""

from __future__ import annotations

from itertools import islice

from orchestrator.sources.hub import answers, client

_MOST_PAGES = 40


def of_files(repo: str, commit: str) -> dict[str, str]:
    """When each file was last changed (ISO 8601, UTC), by path; of files that a Hub dates.

    Raises:
        UsageError: No such repository or commit.
        EnvironmentProblem: No access, no network.
    """
    where = client.where_is(repo, commit, "model")
    url = f"{client.api(where)}/tree/{commit}?recursive=true&expand=true"
    found: dict[str, str] = {}
    with client.explained(where):
        for address, body in islice(client.bodies(where, url), _MOST_PAGES):
            found |= answers.dates(where, address, body)
    return found


def commit_at(repo: str, time: str) -> tuple[str, str]:
    """The newest commit of the main branch that is not after a time, and its own; else empty.

    Raises:
        UsageError: No such repository.
        EnvironmentProblem: No access, no network.
    """
    where = client.where_is(repo, "main", "model")
    url = f"{client.api(where)}/commits/main"
    with client.explained(where):
        for address, body in islice(client.bodies(where, url), _MOST_PAGES):
            for commit, date in answers.commits(where, address, body):
                if date <= time:
                    return commit, date
    return "", ""

from tests.support.hub_repositories import repo, server

__all__ = ["repo", "server"]

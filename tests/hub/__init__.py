"""A local Hugging Face Hub for tests: real client, real protocol, folders as repositories."""

from tests.hub.content import Repo
from tests.hub.records import Fault, Request
from tests.hub.server import Hub

__all__ = ["Fault", "Hub", "Repo", "Request"]

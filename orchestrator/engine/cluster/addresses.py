"""Where a scheduler is, and whether the way there is safe enough to run programs for it."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import re
from urllib.parse import urlsplit

from orchestrator.base.errors import EnvironmentProblem, UsageError

_LOCAL = re.compile(r"local:([1-9][0-9]{0,2})")


def local_workers(cluster: str) -> int:
    """How many workers ``local:N`` asks for; 0 for an address."""
    found = _LOCAL.fullmatch(cluster)
    return int(found[1]) if found else 0


def check(cluster: str, *, trust_network: bool, remote: bool = False) -> None:
    """Refuse what is no cluster, and one that anybody on the network could join or direct.

    Args:
        cluster: ``local:N``, unless ``remote``, or a scheduler's address.
        trust_network: Whether the user accepts the latter.
        remote: Whether only an address will do.

    Raises:
        UsageError: The address is none, or goes beyond this machine without TLS.
        EnvironmentProblem: Dask is not installed.
    """
    if importlib.util.find_spec("distributed") is None:
        raise EnvironmentProblem(
            "a cluster needs dask.distributed",
            "Install it: pip install 'orchestrate-gguf[cluster]'.",
        )
    if local_workers(cluster) and not remote:
        return
    scheme, host = _parts(cluster)
    if scheme not in ("tcp", "tls") or not host:
        raise UsageError(
            f"{cluster!r} is no cluster", "Give local:N, tcp://HOST:PORT or tls://HOST:PORT."
        )
    if scheme == "tls":
        _expect_certificates(cluster, "worker" if remote else "client")
    elif not is_loopback(host) and not trust_network:
        raise UsageError(
            f"{cluster} is beyond this machine and not encrypted: whoever reaches its ports can "
            "run programs on all of its machines",
            "Set up TLS and give tls://HOST:PORT (docs/how-to/cluster.md), or say --trust-network "
            "for a network of your own.",
        )


def _expect_certificates(cluster: str, role: str) -> None:
    from distributed.security import Security  # noqa: PLC0415 - of an extra

    if Security().get_connection_args(role)["ssl_context"] is None:
        raise UsageError(
            f"{cluster} needs certificates, and Dask's configuration names none for a {role}",
            "Name them under distributed.comm.tls, as docs/how-to/cluster.md shows.",
        )


def _parts(address: str) -> tuple[str, str]:
    """The scheme and the host of an address with a port; empty for what is none."""
    try:
        found = urlsplit(address)
        has_port = found.port is not None
    except ValueError:
        return "", ""
    return (found.scheme, found.hostname or "") if has_port else ("", "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine whatever the network says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_host(address: str) -> str | None:
    """Where a worker of a scheduler listens: on loopback only when the scheduler does."""
    host = urlsplit(address).hostname or ""
    return host if is_loopback(host) else None


def quiet() -> None:
    """Let Dask's own log say errors of its own only; what users must know we say."""
    import distributed  # noqa: F401, PLC0415 - sets up its log when it is imported

    for name in [
        name for name in logging.root.manager.loggerDict if name.startswith("distributed")
    ]:
        logging.getLogger(name).setLevel(logging.CRITICAL)

"""The command of machines that work for the runs of others: worker."""

from __future__ import annotations

import os
import socket

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import interrupts, shared_options

_PATIENCE_SECONDS = 600


def register(cli: click.Group) -> None:
    """Add the command of this module."""
    cli.add_command(worker)


@click.command()
@click.argument("address")
@click.option(
    "--memory",
    default="",
    show_default=False,
    metavar="SIZE",
    help="Memory that steps may need at once, such as 64GB; without it, all of the machine's.",
)
@click.option("--gpu", type=click.IntRange(0), default=0, help="GPUs that steps may use.")
@shared_options.options("jobs", "threads")
@click.option(
    "--label",
    default="",
    show_default=False,
    metavar="NAME",
    help="What messages call this worker; without it, its machine and process.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=_PATIENCE_SECONDS,
    metavar="SECONDS",
    help="How long to look for the scheduler, at first and whenever it is lost.",
)
@shared_options.TRUST_NETWORK
def worker(
    address: str,
    *,
    memory: str,
    gpu: int,
    jobs: int | None,
    threads: int | None,
    label: str,
    patience: int,
    trust_network: bool,
) -> int:
    """Carry out steps for runs with --cluster.

    ADDRESS is that of a Dask scheduler ('dask scheduler'). Steps go to workers with room for
    them: CPU slots, memory, disk and GPUs. The store (ORCHESTRATE_HOME) is that of the run, on a
    disk that both share, or run and worker write to one shared cache (ORCHESTRATE_REMOTE). A run
    that ends, however it ends, takes its tools here along; when the scheduler is lost they are
    stopped, and the worker looks for it again.

    \b
    Example:
      orchestrate worker tcp://127.0.0.1:8786 --memory 64GB --gpu 1 --label big

    \b
    Exit codes: 0 it was asked to end; 2 no such address, or one without TLS; 3 no scheduler, or
    a label that another worker has.
    """
    from orchestrator.base import machine_info, units
    from orchestrator.engine.cluster import addresses, placement, serve, store_id

    addresses.check(address, trust_network=trust_network, remote=True)
    store = shared_options.store()
    store.require_usable(writable=True)
    remote = shared_options.shared_caches()
    caches = store_id.caches(remote, shared_options.warn)
    offer = placement.offer(
        jobs=jobs or 1,
        gpus=gpu,
        memory=units.parse_size(memory) if memory else machine_info.memory_total(),
        disk=machine_info.disk_free(store.root),
        store=store_id.store_id(store),
        machine=machine_info.identity(),
        caches=caches,
    )
    name = label or f"{socket.gethostname()} {os.getpid()}"
    cores = threads or machine_info.cores()
    site = serve.Site(name, store, jobs or 1, cores, offer, remote, caches)
    stop = serve.Stop()
    with interrupts.heeded(stop):
        serve.serve(address, site, patience, shared_options.remark, stop)
    return EXIT_OK

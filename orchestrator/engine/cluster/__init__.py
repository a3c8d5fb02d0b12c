"""Steps on many machines, carried by dask.distributed (extra ``cluster``)."""

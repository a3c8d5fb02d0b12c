"""What can be done: one module for each kind of work, each with ``run(task) -> facts``.

A step sees input folders, a staging folder and its own parameters; it knows neither the
store nor the other steps, so caching, resuming and a cluster live in one place.
"""

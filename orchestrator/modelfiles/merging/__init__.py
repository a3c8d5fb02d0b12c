"""Ways of making one model out of several, tensor by tensor, without loading either.

``METHODS`` is the whole list; a recipe names one of its keys. A way of merging gets opened
checkpoints and returns a :class:`~.merge_plan.MergePlan` (every name and shape checked,
nothing written yet) that :func:`~.streaming_merge.write_merged` carries out.
Another way (xor) is one module with such a function and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.modelfiles.merging.delta import plan_delta
from orchestrator.modelfiles.merging.lora import plan_lora
from orchestrator.modelfiles.merging.merge_plan import MergePlan

METHODS: Mapping[str, Callable[..., MergePlan]] = {"delta": plan_delta, "lora": plan_lora}

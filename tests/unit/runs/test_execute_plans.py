"""What a run may forget before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import Mock

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.engine.scheduler import Carrier
from orchestrator.runs import execute_plans
from tests.support.lockfiles import session_in


def test_what_workers_with_other_stores_measured_is_not_measured_again(tmp_path: Path) -> None:
    session = session_in(tmp_path)
    far = replace(session, cluster=Carrier(Mock(), SimpleQueue(), print, apart=True))

    with pytest.raises(UsageError, match="measured once comes from the shared cache"):
        execute_plans.forget_measures([], far, ["speed"])
    execute_plans.forget_measures([], far, [])
    execute_plans.forget_measures([], session, ["speed"])

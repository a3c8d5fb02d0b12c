"""How near two model files are: headers, tensors, dequantized values, in little memory.

``compare(a, b)`` gives a :class:`Comparison` whose ``verdict`` is a :class:`Verdict`.
"""

from orchestrator.modelfiles.comparing.compare import compare
from orchestrator.modelfiles.comparing.comparison import Comparison, Verdict

__all__ = ["Comparison", "Verdict", "compare"]

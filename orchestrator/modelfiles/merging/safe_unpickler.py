"""Read the pickle of a PyTorch checkpoint without running anything it asks for.

The file is walked with :func:`pickletools.genops` and only the opcodes and globals that
``torch.save`` writes for a dictionary of tensors are understood; no object is built, no
function is called. This is narrower than ``torch.load(weights_only=True)``. The opcodes are
described in CPython's Lib/pickletools.py, the layout in torch/_utils.py and
torch/serialization.py.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.base.errors import StepError

STORAGE_DTYPES = {
    "BoolStorage": "BOOL",
    "ByteStorage": "U8",
    "CharStorage": "I8",
    "ShortStorage": "I16",
    "IntStorage": "I32",
    "LongStorage": "I64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
}
MAX_DIMENSIONS = 16  # a product of millions of sizes would take for ever
# One tensor takes about 45 opcodes, and a pickler fills a dictionary by 1000 entries at once.
MAX_OPCODES = 2_000_000
MAX_STACK = 10_000
MAX_KEY = 100  # characters of a storage's name, which torch counts from 0
_HINT = "Only plain dictionaries of tensors are read; ask the publisher for safetensors files."


@dataclass(frozen=True)
class Storage:
    """A flat run of ``count`` elements: the archive's member ``data/<key>``."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class PickledTensor:
    """A view of a storage; ``offset`` and ``stride`` count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    name: str


_REBUILD_TENSOR = _Global("torch._utils._rebuild_tensor_v2")
_REBUILD_PARAMETER = _Global("torch._utils._rebuild_parameter")
_ORDERED_DICT = _Global("collections.OrderedDict")
_SIZE = _Global("torch.Size")
_GLOBALS = {g.name: g for g in (_REBUILD_TENSOR, _REBUILD_PARAMETER, _ORDERED_DICT, _SIZE)} | {
    f"torch.{name}": _Global(f"torch.{name}") for name in STORAGE_DTYPES
}


class _MalformedError(Exception):
    """What the pickle says makes no sense; the message completes a sentence."""


class _Mark:
    """A position on the stack."""


_MARK = _Mark()


def read_state_dict(data: bytes, where: str) -> Mapping[str, PickledTensor]:
    """Return name -> tensor of the pickled state dictionary ``data``, in its order.

    Raises:
        StepError: ``data`` is no pickle, or holds anything but tensors by name; the message
            starts with ``where`` and names the global, opcode or key.
    """
    try:
        value = _Machine().run(data)
        return _check_state_dict(value)
    except _MalformedError as error:
        raise StepError(f"{where}: {error}.", _HINT) from None


def _check_state_dict(value: object) -> dict[str, PickledTensor]:
    if not isinstance(value, dict):
        raise _MalformedError("the pickle holds something that is not a dictionary of tensors")
    for name, tensor in value.items():
        if not isinstance(name, str) or len(name) > 1000:
            raise _MalformedError("a key of the pickled dictionary is not a tensor's name")
        if not isinstance(tensor, PickledTensor):
            raise _MalformedError(f"entry {name[:100]!r} of the pickle is not a tensor")
    return value


class _Machine:
    """The stack machine; one instance reads one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> object:
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
                if opcode.name == "STOP":
                    return self.pop()
                self.step(opcode.name, argument)
                if number > MAX_OPCODES or len(self.stack) > MAX_STACK:
                    raise _MalformedError("the pickle is larger than any list of tensors is")
        except (ValueError, UnicodeDecodeError) as error:
            raise _MalformedError(f"the pickle is damaged ({error})"[:200]) from None
        raise _MalformedError("the pickle is cut short")

    def step(self, name: str, argument: Any) -> None:
        if name in _IGNORED:
            return
        if name in _PUSH_ARGUMENT:
            self.stack.append(argument)
        elif name in _PUSH_CONSTANT:
            self.stack.append(_PUSH_CONSTANT[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise _MalformedError(
                f"the pickle uses the opcode {name}, which no state dictionary needs"
            )

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _MalformedError("the pickle is damaged (it takes from an empty stack)")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise _MalformedError(f"the pickle is damaged (no {kind.__name__} to fill)")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        items: list[Any] = []
        while self.stack and self.stack[-1] is not _MARK:
            items.append(self.stack.pop())
        if not self.stack:
            raise _MalformedError("the pickle is damaged (no mark)")
        self.stack.pop()
        return items[::-1]

    def put(self, index: int | None) -> None:
        value = self.pop()
        self.stack.append(value)
        self.memo[len(self.memo) if index is None else index] = value

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise _MalformedError(
                "the pickle is damaged (it reads a memo entry that was never stored)"
            )
        self.stack.append(self.memo[index])

    def push_tuple(self, size: int) -> None:
        items = [self.pop() for _ in range(size)]
        self.stack.append(tuple(items[::-1]))

    def push_global(self, name: str) -> None:
        if name not in _GLOBALS:
            raise _MalformedError(f"the pickle asks for {name[:100]!r}, which is not loaded")
        self.stack.append(_GLOBALS[name])

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        # Exactly texts: the text of a list that holds itself many times would never end.
        self.push_global(f"{module}.{name}" if type(module) is type(name) is str else "")

    def persistent(self) -> None:
        self.stack.append(_storage(self.pop()))

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(_apply(function, arguments))

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise _MalformedError("the pickle is damaged (a key without a value)")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise _MalformedError("a key of a pickled dictionary is not a string")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def build(self) -> None:
        # The attributes of an OrderedDict: torch keeps the modules' versions there.
        self.pop()
        self.top(dict)


_IGNORED = frozenset({"PROTO", "FRAME"})
_PUSH_ARGUMENT = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
)
_PUSH_CONSTANT: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_ACTIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "BINPUT": lambda m, n: m.put(n),
    "LONG_BINPUT": lambda m, n: m.put(n),
    "MEMOIZE": lambda m, _: m.put(None),
    "BINGET": lambda m, n: m.get(n),
    "LONG_BINGET": lambda m, n: m.get(n),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.push_tuple(1),
    "TUPLE2": lambda m, _: m.push_tuple(2),
    "TUPLE3": lambda m, _: m.push_tuple(3),
    "GLOBAL": lambda m, name: m.push_global(name.replace(" ", ".")),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "BINPERSID": lambda m, _: m.persistent(),
    "REDUCE": lambda m, _: m.reduce(),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_mark()),
    "BUILD": lambda m, _: m.build(),
}


def _apply(function: object, arguments: object) -> object:
    if type(function) is not _Global or type(arguments) is not tuple:
        raise _MalformedError("the pickle is damaged (it calls what is not a function)")
    if function is _ORDERED_DICT and arguments == ():
        return {}
    if function is _REBUILD_TENSOR:
        return _tensor(arguments)
    if function is _REBUILD_PARAMETER and _types(arguments) == [PickledTensor, bool, dict]:
        return arguments[0]
    if function is _SIZE and len(arguments) == 1:
        return _sizes(arguments[0])
    raise _MalformedError(f"the pickle calls {function.name} with arguments of another kind")


def _storage(identity: object) -> Storage:
    """Decode ``("storage", type, key, device, count)``, as torch's persistent_id writes it."""
    if type(identity) is tuple and _types(identity) == [str, _Global, str, str, int]:
        tag, kind, key, _, count = identity
        dtype = STORAGE_DTYPES.get(kind.name.removeprefix("torch."))
        if tag == "storage" and dtype and len(key) <= MAX_KEY and _is_size(count):
            return Storage(dtype, key, count)
    raise _MalformedError("the pickle refers to something that is not a typed storage")


def _tensor(arguments: tuple[Any, ...]) -> PickledTensor:
    """Decode ``(storage, offset, size, stride, requires_grad, hooks[, metadata])``."""
    kinds = [Storage, int, tuple, tuple, bool, dict, dict]
    if len(arguments) in (6, 7) and _types(arguments) == kinds[: len(arguments)]:
        shape, stride = _sizes(arguments[2]), _sizes(arguments[3])
        if len(shape) == len(stride) and _is_size(arguments[1]):
            return PickledTensor(arguments[0], arguments[1], shape, stride)
    raise _MalformedError("the pickle describes a tensor in a way this reader does not know")


def _sizes(value: Any) -> tuple[int, ...]:
    short = type(value) in (tuple, list) and len(value) <= MAX_DIMENSIONS
    if not short or not all(map(_is_size, value)):
        raise _MalformedError("the pickle gives a shape that is not a short list of sizes")
    return tuple(value)


def _types(values: tuple[Any, ...]) -> list[type]:
    """The exact types of arguments, of which a call takes a few."""
    return [type(value) for value in values[:8]]


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63

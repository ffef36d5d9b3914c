"""Ways to a better soft prompt that need code of their own, by name; `quality.py --ways` measures them on dev."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from quality_data import DataSet
from quality_prototypes_adapter import AdapterPrototype
from quality_systems import System, Where


def _of_where(make: Callable[[Where], System]) -> Callable[[Where, DataSet], System]:
    return lambda where, data: make(where)


# What they are compared with.
COUNTERPARTS = ("text-twin", "kv", "kv+adapter", "embedding", "kv-block")
_ADAPTERS = {
    "kv dropout 0.1": partial(AdapterPrototype, rank=0, vector_dropout=0.1),
    "kv+adapter dropout 0.1": partial(AdapterPrototype, adapter_dropout=0.1, vector_dropout=0.1),
    "kv+adapter doubled": partial(AdapterPrototype, scale=2.0),
    "text twin+adapter": partial(AdapterPrototype, vectors=False),
}
PROTOTYPES: dict[str, Callable[[Where, DataSet], System]] = {
    **{name: _of_where(make) for name, make in _ADAPTERS.items()},
}

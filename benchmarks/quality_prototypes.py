"""Ways to a better soft prompt that need code of their own, by name; `quality.py --ways` measures them on dev."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from quality_data import DataSet
from quality_prototypes_adapter import AdapterPrototype
from quality_prototypes_blend import Blended
from quality_prototypes_dept import ShiftedEmbeddings
from quality_prototypes_distil import Distilled
from quality_prototypes_instance import InstanceAware
from quality_prototypes_places import Bridges, EarlyKeys
from quality_prototypes_relative import Relative
from quality_prototypes_reparameterised import Longer, Reparameterised
from quality_prototypes_rows import PLAIN
from quality_prototypes_together import Together
from quality_prototypes_top import TopLayers
from quality_systems import Graft, System, Where

_OF_WHERE: dict[str, Callable[[Where], System]] = {
    "kv dropout 0.1": partial(AdapterPrototype, rank=0, vector_dropout=0.1),
    "kv+adapter dropout 0.1": partial(AdapterPrototype, adapter_dropout=0.1, vector_dropout=0.1),
    "kv+adapter doubled": partial(AdapterPrototype, scale=2.0),
    "text twin+adapter": partial(AdapterPrototype, rank=4, adapter_rate=1e-3, vectors=False),
    "kv instance-aware": InstanceAware,
    "embedding 16+shifts": partial(ShiftedEmbeddings, kind="embedding", length=16, rank=14),
    "kv+shifts": partial(ShiftedEmbeddings, kind="kv", length=32, rank=14),
    "kv+early keys": EarlyKeys,
    "kv+top 4": partial(TopLayers, top=4),
    "kv+top 10": partial(TopLayers, top=10),
    "kv relative rate": Relative,
    "kv reparameterised": Reparameterised,
    "kv+early keys+shifts reparameterised": Together,
    "kv two epochs": Longer,
    "kv-block rate 2e-2": lambda where: Graft(where, replace(PLAIN, attention="block")),
    "kv-block bridges": Bridges,
    "kv-block first tokens again": Blended,
}
_OF_DATA: dict[str, Callable[[Where, DataSet], System]] = {
    "kv distilled": partial(Distilled, share=0.5),
    "kv distilled from kv": partial(Distilled, share=0.5, teacher_seconds=120),
}


def _of_where(make: Callable[[Where], System]) -> Callable[[Where, DataSet], System]:
    return lambda where, data: make(where)


PROTOTYPES = {name: _of_where(make) for name, make in _OF_WHERE.items()} | _OF_DATA

"""The runs of the requests that run now.

A request's prompt begins with segments from the prefix store, then perhaps a `kv` soft prompt. Each is a run. Two
requests with the same content at the same position hold the same `Run` object, so attention reads it once for both.
The tensors are those of the store. They are copied only where keys must be rotated to another position.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from weakref import WeakValueDictionary

from torch import Tensor

from soft_prompt.graft.prompt import SoftPrompt, keys_and_values
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.rotary import shift
from soft_prompt.rows.prefix_store import PrefixStore, StoredSegment
from soft_prompt.rows.row import Row
from soft_prompt.rows.runs import Run


class RunTable:
    """The runs of the requests that run now, by content and position."""

    def __init__(self) -> None:
        self._runs: WeakValueDictionary[Hashable, Run] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of_row(self, store: PrefixStore, row: Row) -> Iterator[Run]:
        """The runs of a row, in order. A stored segment is computed when it is asked for, if it is missing."""
        for segment in store.segments(row):
            yield self._stored(store.backbone, segment)
        if row.kv_prompt is not None:
            yield self._kv_prompt(store.backbone, row.kv_prompt, len(row.prefix))

    def _stored(self, backbone: Backbone, segment: StoredSegment) -> Run:
        with self._lock:
            key = (segment.key, segment.start)
            run = self._runs.get(key)
            if run is None:
                entry, shifted = segment.entry, segment.start - segment.base
                keys = shift(backbone, entry[:, 0], shifted) if shifted else entry[:, 0]
                run = self._runs[key] = _run(segment.start, keys, entry[:, 1])
            return run

    def _kv_prompt(self, backbone: Backbone, prompt: SoftPrompt, start: int) -> Run:
        in_training = any(tensor.requires_grad for tensor in prompt.tensors().values())
        with self._lock:
            # The digest of a soft prompt in training would be outdated after the next step.
            versions = tuple(tensor._version for tensor in prompt.tensors().values())
            key = ((id(prompt), *versions) if in_training else prompt.digest, start)
            run = self._runs.get(key)
            if run is None:
                parts = keys_and_values(backbone, prompt, start)
                pairs = [part.detach().unbind(1) for part in parts]
                layers = [pair for keys, values in pairs for pair in zip(keys.unbind(0), values.unbind(0), strict=True)]
                run = self._runs[key] = Run(start, prompt.length, tuple(layers), prompt)
            return run


def _run(start: int, keys: Tensor, values: Tensor) -> Run:
    """From `[layers, kv_heads, tokens, head_dim]`."""
    return Run(start, int(keys.shape[-2]), tuple(zip(keys.unbind(0), values.unbind(0), strict=True)))

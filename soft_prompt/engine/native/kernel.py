"""The compiled kernels of one dtype, called on PyTorch's tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soft_prompt.engine.block_pool import BLOCK, BlockPool
from soft_prompt.engine.native.build import native_library
from soft_prompt.rows.runs import Run

# Ranks of one adapter that the low-rank kernel takes.
MAX_RANKS = 256
_MAX_GROUPS = 16
_MAX_DIM = 256
_SUFFIXES = {torch.bfloat16: "bf16", torch.float32: "fp32"}
_ADDRESS, _NUMBER, _REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class _Call(ctypes.Structure):
    """The arguments of attention; see kernels.c."""

    _fields_ = [
        *[(name, _ADDRESS) for name in ("query", "result", "new_key", "new_value")],
        *[(name, _NUMBER) for name in ("query_stride", "new_stride", "rows", "kv_heads", "groups", "dim")],
        *[(name, _REAL) for name in ("scale", "softcap")],
        *[(name, _ADDRESS) for name in ("first_run", "run_key", "run_value")],
        *[(name, _ADDRESS) for name in ("run_length", "run_start", "run_head_stride")],
        *[(name, _ADDRESS) for name in ("pool_key", "pool_value", "table")],
        *[(name, _NUMBER) for name in ("width", "block")],
        *[(name, _ADDRESS) for name in ("own_length", "own_start", "low", "part", "part_log_sum")],
    ]


@dataclass(frozen=True, eq=False)
class KernelRuns:
    """The runs of a batch's rows, as the kernel reads them.

    Attributes:
        runs: kept alive, since the kernel reads their memory.
        first: number of each row's first run, `[rows + 1]`.
        keys, values: addresses, `[layers, runs]`.
        lengths, starts, head_strides: `[runs]`.
    """

    runs: Sequence[Run]
    first: Any
    keys: Any
    values: Any
    lengths: Any
    starts: Any
    head_strides: Any


def kernel_runs(rows: Sequence[Sequence[Run]], layers: int) -> KernelRuns:
    """Lay out the runs of rows."""
    runs = [run for row in rows for run in row]
    addresses = np.stack([run.addresses for run in runs], axis=1) if runs else np.zeros((layers, 0, 2), np.int64)
    return KernelRuns(
        runs=runs,
        first=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        keys=np.ascontiguousarray(addresses[..., 0]),
        values=np.ascontiguousarray(addresses[..., 1]),
        lengths=np.array([run.length for run in runs], dtype=np.int64),
        starts=np.array([run.start for run in runs], dtype=np.int64),
        head_strides=np.array([run.head_stride for run in runs], dtype=np.int64),
    )


@dataclass(frozen=True, eq=False)
class KernelStep:
    """The decoding rows of a step, as the kernel reads them.

    Attributes:
        pool: has the rows' blocks.
        runs: the runs that the kernel reads.
        table: each row's blocks, `[rows, most blocks]`, int64.
        own_lengths, own_starts: number of own positions with the new one, and the position of the first, `[rows]`.
    """

    pool: BlockPool
    runs: KernelRuns
    table: Any
    own_lengths: Any
    own_starts: Any


class Kernels:
    """The compiled functions. Tensors are contiguous, of the kernels' dtype unless said otherwise, and on the CPU."""

    def __init__(self, library: Any, suffix: str) -> None:
        def function(name: str, *arguments: Any) -> Any:
            found = getattr(library, f"{name}_{suffix}")
            found.argtypes, found.restype = arguments, None
            return found

        self._write = function("write", _ADDRESS)
        self._attend = function("attend", _ADDRESS)
        self._add_norm = function("add_norm", *[_ADDRESS] * 4, _NUMBER, _NUMBER, _REAL)
        self._rotate = function("rotate", *[_ADDRESS] * 5, *[_NUMBER] * 4, _REAL)
        self._gated = function("gated", _ADDRESS, _ADDRESS, _NUMBER, _NUMBER)
        self._low_rank = function("low_rank", *[_ADDRESS] * 6, *[_NUMBER] * 6)
        self._largest = function("largest", _ADDRESS, _ADDRESS, _NUMBER, _NUMBER)

    @classmethod
    def load(cls, dtype: torch.dtype, device: torch.device, groups: int, head_dim: int) -> Kernels | None:
        """The kernels; None if there are none for this dtype, device and shape, or on this machine."""
        if device.type != "cpu" or dtype not in _SUFFIXES or groups > _MAX_GROUPS or head_dim > _MAX_DIM:
            return None
        library = native_library()
        return None if library is None else cls(library, _SUFFIXES[dtype])

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: KernelStep,
        layer: int,
        low: Any,
        scale: float,
        softcap: float | None = None,
    ) -> Attention:
        """Prepare attention of the decoding rows.

        Args:
            query: `[rows, heads, head_dim]`; rows may be further apart in memory.
            key, value: of the new tokens, `[rows, kv_heads, head_dim]`, likewise, equally far apart.
            step: the rows.
            layer: number of the layer.
            low: the first position that each row sees, int64.
            scale, softcap: of the scores.
        """
        rows, heads, head_dim = query.shape
        result = query.new_empty((rows, heads, head_dim))
        pool, runs = step.pool, step.runs
        call = _Call(
            query.data_ptr(), result.data_ptr(), key.data_ptr(), value.data_ptr(), query.stride(0), key.stride(0),
            rows, key.shape[1], heads // key.shape[1], head_dim, scale, softcap or 0.0,
            runs.first.ctypes.data, runs.keys[layer].ctypes.data, runs.values[layer].ctypes.data,
            runs.lengths.ctypes.data, runs.starts.ctypes.data, runs.head_strides.ctypes.data,
            pool.keys[layer].data_ptr(), pool.values[layer].data_ptr(), step.table.ctypes.data,
            step.table.shape[1], BLOCK, step.own_lengths.ctypes.data, step.own_starts.ctypes.data, low.ctypes.data,
            None, None,
        )  # fmt: skip
        return Attention(self, call, result, (query, key, value, low))

    def add_norm(self, hidden: Tensor, more: Tensor | None, weight: Tensor, epsilon: float) -> Tensor:
        """Add `more` to `hidden` in place, and return the root mean square norm of the sum. All `[rows, size]`."""
        out = torch.empty_like(hidden)
        added = None if more is None else more.data_ptr()
        self._add_norm(hidden.data_ptr(), added, weight.data_ptr(), out.data_ptr(), *hidden.shape, epsilon)
        return out

    def rotate(
        self,
        joined: Tensor,
        cosine: Tensor,
        sine: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        heads: int,
        kv_heads: int,
        epsilon: float,
    ) -> None:
        """Rotate queries and keys in place.

        Args:
            joined: query, key and value heads, `[rows, heads + 2 * kv_heads, head_dim]`.
            cosine, sine: fp32, `[rows, head_dim]`.
            norms: weights of norms of each query and key head before the rotation, `[head_dim]`; None for none.
            heads, kv_heads: numbers of heads.
            epsilon: of the norms.
        """
        query_norm, key_norm = (None, None) if norms is None else (norm.data_ptr() for norm in norms)
        self._rotate(
            joined.data_ptr(), cosine.data_ptr(), sine.data_ptr(), query_norm, key_norm,
            joined.shape[0], heads, kv_heads, joined.shape[2], epsilon,
        )  # fmt: skip

    def gated(self, joined: Tensor) -> Tensor:
        """`silu(gate) * up` of `[rows, 2 * size]` with the gates first: `[rows, size]`."""
        rows, size = joined.shape[0], joined.shape[1] // 2
        out = joined.new_empty((rows, size))
        self._gated(joined.data_ptr(), out.data_ptr(), rows, size)
        return out

    def add_low_rank(self, out: Tensor, x: Tensor, down: Tensor, up: Tensor, owners: Any, first: Any) -> None:
        """Add each token's low-rank product to a layer's outputs in place.

        Args:
            out: `[tokens, outputs]`; rows may be further apart in memory.
            x: `[tokens, inputs]`, likewise.
            down, up: `[ranks, inputs]` and `[ranks, outputs]`.
            owners: number of each token's adapter, or the number of adapters for none, int64.
            first: number of each adapter's first rank, and of all, int64. An adapter has at most `MAX_RANKS`.
        """
        self._low_rank(
            x.data_ptr(), down.data_ptr(), up.data_ptr(), owners.ctypes.data, first.ctypes.data, out.data_ptr(),
            out.shape[0], x.shape[1], out.shape[1], x.stride(0), out.stride(0), len(first) - 1,
        )  # fmt: skip

    def largest(self, values: Tensor) -> Tensor:
        """The index of each row's largest value, `[rows]`, int64, of `[rows, size]`."""
        out = torch.empty(values.shape[0], dtype=torch.int64)
        self._largest(values.data_ptr(), out.data_ptr(), *values.shape)
        return out


class Attention:
    """One attention call that is prepared. `keep` holds the memory that it reads."""

    def __init__(self, kernels: Kernels, call: _Call, result: Tensor, keep: tuple[Any, ...]) -> None:
        self._kernels, self._call, self._result, self._keep = kernels, call, result, keep

    def write(self) -> None:
        """Write the new keys and values to the pool. Comes before `attend`."""
        self._kernels._write(ctypes.byref(self._call))

    def attend(self, part: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Attend to the runs, the rows' own positions, and those of `part`.

        Args:
            part: attention to other positions, fp32 and contiguous: `[rows, heads, head_dim]` and its log sums of
                exponentials, `[rows, heads]`.

        Returns:
            `[rows, heads, head_dim]`.
        """
        if part is not None:
            self._call.part, self._call.part_log_sum = part[0].data_ptr(), part[1].data_ptr()
        self._kernels._attend(ctypes.byref(self._call))
        return self._result

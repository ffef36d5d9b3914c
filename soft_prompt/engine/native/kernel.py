"""Calls the attention kernel for the decoding rows of a step."""

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

_MAX_GROUPS = 16
_MAX_DIM = 256
_FUNCTIONS = {torch.bfloat16: "attend_bf16", torch.float32: "attend_fp32"}


class _Call(ctypes.Structure):
    """The arguments of the C functions; see attention.c."""

    _fields_ = [
        ("query", ctypes.c_void_p),
        ("result", ctypes.c_void_p),
        ("new_key", ctypes.c_void_p),
        ("new_value", ctypes.c_void_p),
        *[(name, ctypes.c_int64) for name in ("rows", "kv_heads", "groups", "dim")],
        *[(name, ctypes.c_float) for name in ("scale", "softcap")],
        *[(f"{name}", ctypes.c_void_p) for name in ("first_run", "run_key", "run_value")],
        *[(f"{name}", ctypes.c_void_p) for name in ("run_length", "run_start", "run_head_stride")],
        *[(name, ctypes.c_void_p) for name in ("pool_key", "pool_value", "table")],
        *[(name, ctypes.c_int64) for name in ("width", "block")],
        *[(name, ctypes.c_void_p) for name in ("own_length", "own_start", "low", "part", "part_log_sum")],
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


class Kernel:
    """The compiled kernel for one kind of cache."""

    def __init__(self, function: Any) -> None:
        self._function = function

    @classmethod
    def load(cls, dtype: torch.dtype, device: torch.device, groups: int, head_dim: int) -> Kernel | None:
        """The kernel; None if there is none for this dtype, device and shape, or on this machine."""
        if device.type != "cpu" or dtype not in _FUNCTIONS or groups > _MAX_GROUPS or head_dim > _MAX_DIM:
            return None
        library = native_library()
        if library is None:
            return None
        function = getattr(library, _FUNCTIONS[dtype])
        function.argtypes, function.restype = [ctypes.c_void_p], None
        return cls(function)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        step: KernelStep,
        layer: int,
        low: Any,
        scale: float,
        softcap: float | None,
        part: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Write the rows' new keys and values to the pool, and attend.

        Args:
            query: `[rows, heads, head_dim]`, contiguous.
            key, value: of the new tokens, `[rows, kv_heads, head_dim]`, contiguous.
            step: the rows.
            layer: number of the layer.
            low: the first position that each row sees, int64.
            scale, softcap: of the scores.
            part: attention to other positions, fp32 and contiguous: `[rows, heads, head_dim]` and its log sums of
                exponentials, `[rows, heads]`.

        Returns:
            `[rows, heads, head_dim]`.
        """
        result, pool, runs = torch.empty_like(query), step.pool, step.runs
        rows, heads, head_dim = query.shape
        call = _Call(
            query.data_ptr(), result.data_ptr(), key.data_ptr(), value.data_ptr(),
            rows, key.shape[1], heads // key.shape[1], head_dim, scale, softcap or 0.0,
            runs.first.ctypes.data, runs.keys[layer].ctypes.data, runs.values[layer].ctypes.data,
            runs.lengths.ctypes.data, runs.starts.ctypes.data, runs.head_strides.ctypes.data,
            pool.keys[layer].data_ptr(), pool.values[layer].data_ptr(), step.table.ctypes.data,
            step.table.shape[1], BLOCK, step.own_lengths.ctypes.data, step.own_starts.ctypes.data, low.ctypes.data,
            None if part is None else part[0].data_ptr(), None if part is None else part[1].data_ptr(),
        )  # fmt: skip
        self._function(ctypes.byref(call))
        return result


@dataclass(frozen=True, eq=False)
class KernelStep:
    """The decoding rows of a step, as the kernel reads them.

    Attributes:
        pool: has the rows' blocks.
        runs: the runs that the kernel reads.
        table: each row's blocks, `[rows, most blocks]`.
        own_lengths, own_starts: number of own positions with the new one, and the position of the first, `[rows]`.
    """

    pool: BlockPool
    runs: KernelRuns
    table: Any
    own_lengths: Any
    own_starts: Any

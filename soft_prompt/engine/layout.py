"""Who attends to what in one engine step.

The new tokens of all rows stand one after the other: first one token of each decoding row, then the prompts' slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soft_prompt.engine.block_pool import BLOCK, BlockPool
from soft_prompt.engine.native.kernel import KernelRuns, KernelStep, kernel_runs
from soft_prompt.rows.runs import Run, joined_run

# Added to the scores of hidden positions. Finite, since a row that sees nothing of a run must not become NaN.
_HIDDEN = -1e30
_HIDDEN_HALF = -6e4
# From this number of rows on, one product with a run's keys is faster than the kernel, which reads them for each row.
_SHARED = 6


@dataclass(frozen=True, eq=False, slots=True)
class RowTokens:
    """The new tokens of one row.

    Attributes:
        runs: what stands before the row's own positions.
        start: position of the row's first own token.
        before: number of own tokens with keys and values from earlier steps.
        new: number of new tokens.
        blocks: the row's blocks, with places for the new tokens.
    """

    runs: tuple[Run, ...]
    start: int
    before: int
    new: int
    blocks: Sequence[int]


@dataclass(frozen=True, eq=False, slots=True)
class Level:
    """The n-th run of each decoding row.

    Attributes:
        runs: each different run with the number of rows that have it.
        order: numbers of the rows in the order of `runs`, `[rows with an n-th run]`, int64; None if it is the step's.
        rows: the same numbers, never None.
    """

    runs: tuple[tuple[Run, int], ...]
    order: Tensor | None
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class PromptSlice:
    """The slice of one prompt: a number of tokens, and the row's blocks that have own positions."""

    tokens: int
    blocks: Tensor
    row: RowTokens


@dataclass(frozen=True, eq=False, slots=True)
class PromptGroup:
    """Slices of prompts with the same runs, one after the other from token `first` of the step on."""

    first: int
    tokens: int
    runs: tuple[Run, ...]
    slices: tuple[PromptSlice, ...]


@dataclass(frozen=True, eq=False, slots=True)
class PromptMasks:
    """What a group's tokens see of each run and of their own positions, `[1, 1, tokens * groups, positions]`."""

    runs: list[Tensor | None]
    own: list[Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """Masks for layers that see a number of positions at a time, or all. None where every position is visible.

    Attributes:
        own_mask: of the decoding rows' own positions, `[rows, 1, 1, positions]`.
        level_masks: per level and run, `[1, 1, rows * groups, positions]`.
        prompts: of each group.
        low: the first position that each decoding row sees, as an int64 array.
    """

    own_mask: Tensor | None
    level_masks: list[list[Tensor | None]]
    prompts: list[PromptMasks]
    low: Any


@dataclass(eq=False)
class StepLayout:
    """The rows of one step.

    Attributes:
        pool: has the rows' blocks.
        decoding: number of rows that decode, each with one new token.
        places: block and offset of every new token, each `[tokens]`, int64.
        tables: the decoding rows' blocks, `[rows * blocks per row]`; shorter rows repeat a block behind the mask.
        levels, prompts: see there.
        rows: all rows, the decoding ones first.
        device: of the pool.
        groups: number of query heads per key head.
        kernel_step: the decoding rows for the compiled kernel, which attends to their own positions and to runs that
            few rows share; `levels` has the others. None without the kernel.
    """

    pool: BlockPool
    decoding: int
    places: tuple[Tensor, Tensor]
    tables: Tensor
    levels: tuple[Level, ...]
    prompts: tuple[PromptGroup, ...]
    groups: int
    rows: Sequence[RowTokens]
    device: torch.device
    kernel_step: KernelStep | None
    _windows: dict[int | None, Window] = field(default_factory=dict)

    def window(self, size: int | None) -> Window:
        """The masks of layers whose tokens see `size` positions including their own; None for all."""
        if size not in self._windows:
            self._windows[size] = self._make_window(size)
        return self._windows[size]

    def _make_window(self, size: int | None) -> Window:
        decoding = self.rows[: self.decoding]
        last = [row.start + row.before for row in decoding]
        width = len(self.tables) // self.decoding * BLOCK if self.decoding else 0
        own = [_own_mask(row, width, size) for row in decoding] if width else []
        return Window(
            own_mask=self._placed(torch.stack(own)[:, None]) if own else None,
            level_masks=[self._level_masks(level, size) for level in self.levels],
            prompts=[self._prompt_masks(group, size) for group in self.prompts],
            low=np.array([0 if size is None else max(0, position - size + 1) for position in last], dtype=np.int64),
        )

    def _level_masks(self, level: Level, size: int | None) -> list[Tensor | None]:
        masks, first = [], 0
        for run, count in level.runs:
            rows = [self.rows[number] for number in level.rows[first : first + count]]
            mask = _run_mask(run, [position for row in rows for position in _positions(row)], size)
            masks.append(None if mask is None else self._of_heads(mask))
            first += count
        return masks

    def _prompt_masks(self, group: PromptGroup, size: int | None) -> PromptMasks:
        positions = [position for one in group.slices for position in _positions(one.row)]
        runs = [_run_mask(run, positions, size) for run in group.runs]
        own = [_own_mask(one.row, len(one.blocks) * BLOCK, size) for one in group.slices]
        return PromptMasks(
            runs=[None if mask is None else self._of_heads(mask) for mask in runs],
            own=[self._of_heads(mask) for mask in own],
        )

    def _of_heads(self, visible: Tensor) -> Tensor:
        """The mask to add, each token's once per query head of a group."""
        return self._placed(visible.repeat_interleave(self.groups, 0)[None, None])

    def _placed(self, visible: Tensor) -> Tensor:
        """The mask to add, from what is visible."""
        dtype = self.pool.keys[0].dtype
        hidden = _HIDDEN_HALF if dtype == torch.float16 else _HIDDEN
        return torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, hidden).to(self.device)


class KernelLayout:
    """Which runs the kernels read, and which are read once for many rows. Mostly that is as in the step before."""

    def __init__(self) -> None:
        self._rows: tuple[tuple[Run, ...], ...] = ()
        self._runs: KernelRuns | None = None
        self._joined: dict[tuple[Run, ...], Run] = {}

    def split(self, rows: Sequence[tuple[Run, ...]], layers: int) -> tuple[KernelRuns, list[tuple[Run, ...]]]:
        """The runs for the kernels, and each row's runs that are shared."""
        users = Counter(run for row in rows for run in row)
        shared = [tuple(run for run in row if users[run] >= _SHARED) for row in rows]
        others = tuple(tuple(run for run in row if users[run] < _SHARED) for row in rows)
        if self._runs is None or others != self._rows:
            self._rows, self._runs = others, kernel_runs(others, layers)
        # Runs with the same rows become one, so that there is one product instead of several.
        joined = {
            runs: self._joined.get(runs) or joined_run(runs)
            for runs, count in Counter(shared).items()
            if count >= _SHARED and len(runs) > 1 and _consecutive(runs)
        }
        # Copies of what the store has are kept while they are used.
        self._joined = joined
        return self._runs, [(joined[runs],) if runs in joined else runs for runs in shared]

    def clear(self) -> None:
        """Forget everything, which frees the runs."""
        self._rows, self._runs, self._joined = (), None, {}


def _consecutive(runs: Sequence[Run]) -> bool:
    """Whether each run begins where the one before it ends."""
    return all(one.start + one.length == other.start for one, other in pairwise(runs))


def make_layout(
    pool: BlockPool, rows: Sequence[RowTokens], decoding: int, groups: int, kernel: KernelLayout | None
) -> StepLayout:
    """Lay out a step. The first `decoding` rows have one new token each. `kernel`: None for none.

    Neighbouring prompts with the same runs are laid out together.
    """
    device = pool.keys[0].device
    places = [divmod(row.before + n, BLOCK) for row in rows for n in range(row.new)]
    owners = [row for row in rows for _ in range(row.new)]
    blocks = [row.blocks[block] for row, (block, _) in zip(owners, places, strict=True)]
    decoding_rows = rows[:decoding]
    shared = [row.runs for row in decoding_rows]
    kernel_step = None
    if kernel is not None and decoding:
        runs, shared = kernel.split([row.runs for row in decoding_rows], pool.layers)
        kernel_step = KernelStep(
            pool,
            runs,
            np.array(_tables(decoding_rows), dtype=np.int64),
            np.array([row.before + row.new for row in decoding_rows], dtype=np.int64),
            np.array([row.start for row in decoding_rows], dtype=np.int64),
        )
    tables = [] if kernel_step is not None else [block for table in _tables(decoding_rows) for block in table]
    return StepLayout(
        pool=pool,
        decoding=decoding,
        places=(torch.tensor(blocks, device=device), torch.tensor([offset for _, offset in places], device=device)),
        tables=torch.tensor(tables, dtype=torch.int64, device=device),
        levels=tuple(_levels(shared, device)),
        prompts=tuple(_prompt_groups(rows[decoding:], decoding, device)),
        groups=groups,
        rows=rows,
        device=device,
        kernel_step=kernel_step,
    )


def _prompt_groups(rows: Sequence[RowTokens], first: int, device: torch.device) -> Iterator[PromptGroup]:
    for runs, some in groupby(rows, key=lambda row: row.runs):
        slices = [PromptSlice(r.new, torch.tensor(r.blocks[: _used_blocks(r)], device=device), r) for r in some]
        tokens = sum(one.tokens for one in slices)
        yield PromptGroup(first, tokens, runs, tuple(slices))
        first += tokens


def _tables(rows: Sequence[RowTokens]) -> list[list[int]]:
    """The rows' blocks, as many for each row."""
    width = max((_used_blocks(row) for row in rows), default=0)
    return [[*row.blocks[: _used_blocks(row)], *[row.blocks[0]] * (width - _used_blocks(row))] for row in rows]


def _levels(rows: Sequence[Sequence[Run]], device: torch.device) -> list[Level]:
    levels = []
    for depth in range(max(map(len, rows), default=0)):
        numbers: dict[Run, list[int]] = {}
        for number, runs in enumerate(rows):
            if depth < len(runs):
                numbers.setdefault(runs[depth], []).append(number)
        order = tuple(number for some in numbers.values() for number in some)
        in_order = order == tuple(range(len(rows)))
        levels.append(
            Level(
                runs=tuple((run, len(some)) for run, some in numbers.items()),
                order=None if in_order else torch.tensor(order, device=device),
                rows=order,
            )
        )
    return levels


def _used_blocks(row: RowTokens) -> int:
    return -(-(row.before + row.new) // BLOCK)


def _positions(row: RowTokens) -> list[int]:
    first = row.start + row.before
    return list(range(first, first + row.new))


def _own_mask(row: RowTokens, width: int, size: int | None) -> Tensor:
    """What each new token sees of its row's own positions, `[new, width]`, bool."""
    at = torch.arange(width)
    tokens = torch.arange(row.before, row.before + row.new)[:, None]
    visible = at <= tokens
    if size is not None:
        visible &= at > tokens - size
    return visible


def _run_mask(run: Run, positions: Sequence[int], size: int | None) -> Tensor | None:
    """What tokens at some positions see of a run, `[tokens, run length]`, bool; None if all of it."""
    if size is None or run.start > max(positions) - size:
        return None
    return torch.arange(run.start, run.start + run.length) > torch.tensor(positions)[:, None] - size

"""The compiled low-rank products against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soft_prompt.engine.native.kernel import MAX_RANKS, Kernels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("ranks", "owners"),
    [
        ((4,), [0] * 36),
        ((1, 3, 7), [0, 0, 1, 1, 1, 1, 1, 2, 3, 3, 2, 2, 2, 2, 2, 0]),
        ((MAX_RANKS, 2), [1, 0, 0, 0, 0, 2]),
    ],
)
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 192), (61, 77), (7, 5)])
def test_each_token_gets_the_product_of_its_own_adapter(
    dtype: torch.dtype, ranks: tuple[int, ...], owners: list[int], inputs: int, outputs: int
) -> None:
    kernels = Kernels.load(dtype, torch.device("cpu"), 1, 64)
    if kernels is None:
        pytest.skip("no C compiler")
    seeded = torch.Generator().manual_seed(0)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=seeded).to(dtype)

    tokens, first = len(owners), np.cumsum([0, *ranks], dtype=np.int64)
    # Rows that are further apart than they are long, as parts of a joined product are.
    x, before = some(tokens, inputs + 3)[:, :inputs], some(tokens, outputs + 5)
    down, up = some(sum(ranks), inputs) / inputs**0.5, some(sum(ranks), outputs) / max(ranks) ** 0.5
    out = before.clone()
    kernels.add_low_rank(out[:, :outputs], x, down, up, np.array(owners, dtype=np.int64), first)
    expected = before.clone()
    for token, owner in enumerate(owners):
        if owner < len(ranks):
            own = slice(first[owner], first[owner + 1])
            inner = (down[own].float() @ x[token].float()).to(dtype).float()
            expected[token, :outputs] += (inner @ up[own].float()).to(dtype)
    close = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(out, expected, rtol=close, atol=close)

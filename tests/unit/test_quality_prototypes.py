"""The prototypes of better soft prompts against plain forward passes of a tiny backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from soft_prompt import Backbone, Row, SoftPrompt

PASSAGES = (
    "The fee for a transfer abroad is 12 pounds.",
    "The branch opens at nine.",
    "It closes at five, on Sundays.",
)
LENGTH = 32


def row_of(backbone: Backbone, fill: SoftPrompt, attention: Any = "exact", passages: Sequence[str] = PASSAGES) -> Row:
    from prompts import Message, PassageSegment, RenderedPrompt, SoftSegment, TextSegment
    from soft_prompt import encode_prompt

    parts = [PassageSegment(text, str(number)) for number, text in enumerate(passages)]
    system = Message("system", (TextSegment("Help."), *parts, SoftSegment("domain")))
    prompt = RenderedPrompt((system, Message("user", (TextSegment("When?"),))))
    return encode_prompt(backbone, prompt, {"domain": fill}, attention)


def some_kv(backbone: Backbone, seed: int, length: int = LENGTH) -> SoftPrompt:
    import torch

    from soft_prompt import SoftPrompt

    layers, heads, head_dim = backbone.cache_layout
    chance = torch.Generator().manual_seed(seed)
    vectors = torch.randn(layers, 2, heads, length, head_dim, generator=chance)
    return SoftPrompt("domain", vectors, "twin", "kv")


def prototype(of: Any, backbone: Backbone, folder: Path, **settings: Any) -> Any:
    """One whose soft prompt is random, as after training."""
    from quality_systems import Where

    made = of(Where(backbone, "domain", "Be brief.", folder, 0), **settings)
    made.begun = some_kv(backbone, 1)
    made.tensors = {"vectors": made.begun.vectors}
    return made


def stored(store: Any, row: Row) -> Tensor:
    """Keys and values of the row's prefix."""
    import torch

    layers, heads, head_dim = store.backbone.cache_layout
    into = torch.zeros(layers, 2, heads, len(row.prefix), head_dim)
    store.write(row, into, len(row.prefix))
    return into


def test_keys_at_a_place_of_their_own_are_turned_to_it(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_places import BRIDGE, Bridges
    from soft_prompt.prompt import keys_and_values
    from soft_prompt.rotary import rotate

    made = prototype(Bridges, tiny_backbone, tmp_path)
    made.tensors[BRIDGE] = some_kv(tiny_backbone, 2, 2).vectors
    row = row_of(tiny_backbone, made.begun, "block")
    front = made.dress(row, "When?", made.now(None)).front
    placed = keys_and_values(tiny_backbone, front, len(row.prefix))[1][..., LENGTH:, :]
    assert placed.shape[-2] == 2 * len(PASSAGES)
    for number, end in enumerate([*row.cuts[1:], len(row.prefix)]):
        keys = rotate(tiny_backbone, made.tensors[BRIDGE][:, 0], end)
        torch.testing.assert_close(placed[:, 0, :, 2 * number : 2 * number + 2], keys, atol=1e-5, rtol=1e-4)


def test_passages_that_run_again_as_a_whole_are_those_of_exact_attention(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    import quality_prototypes_blend
    from soft_prompt import PrefixStore

    fill = some_kv(tiny_backbone, 1)
    exact = stored(PrefixStore(tiny_backbone), row_of(tiny_backbone, fill))
    block = row_of(tiny_backbone, fill, "block")
    monkeypatch.setattr(quality_prototypes_blend, "FIRST", 100)
    again = stored(quality_prototypes_blend.BlendingStore(tiny_backbone), block)
    torch.testing.assert_close(again, exact, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(stored(PrefixStore(tiny_backbone), block), exact, atol=1e-2)


def test_only_the_first_tokens_of_later_passages_run_again(tiny_backbone: Backbone) -> None:
    from quality_prototypes_blend import FIRST, BlendingStore
    from soft_prompt import PrefixStore

    row = row_of(tiny_backbone, some_kv(tiny_backbone, 1), "block")
    difference = (stored(BlendingStore(tiny_backbone), row) - stored(PrefixStore(tiny_backbone), row)).abs()
    # Of the lowest layer keys and values depend on no other token.
    changed = (difference[1:].amax((0, 1, 2, 4)) > 1e-4).nonzero().flatten().tolist()
    assert changed == [at for start in row.cuts[1:] for at in range(start, start + FIRST)]


def whole_logits(backbone: Backbone, row: Row, front: Tensor, ids: Sequence[int]) -> Tensor:
    """What follows the slot, where all layers have the prompt before the passages: `[suffix, vocabulary]`."""
    import torch

    from soft_prompt import PrefixStore
    from soft_prompt.cache import filled_cache
    from soft_prompt.prompt import keys_and_values
    from soft_prompt.rotary import rotate

    store, head = PrefixStore(backbone), row.segments[0]
    early = torch.stack((rotate(backbone, front[:, 0], len(head)), front[:, 1]), dim=1)
    before = torch.cat((store.compute(head), early), dim=-2)
    passages = store.compute(row.prefix[len(head) :], before)
    assert row.front is not None
    late = keys_and_values(backbone, row.front, len(row.prefix) + LENGTH)[1]
    past = torch.cat((before, passages, late), dim=-2)
    cache = filled_cache([(layer[0][None], layer[1][None]) for layer in past])
    logits: Tensor = backbone.model(input_ids=torch.tensor([list(ids)]), past_key_values=cache).logits[0]
    return logits


def test_a_prompt_before_the_passages_in_all_layers_is_seen_by_them(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_top import FRONT, TopLayers
    from soft_prompt.forward import Example

    made = prototype(TopLayers, tiny_backbone, tmp_path, top=tiny_backbone.cache_layout[0])
    made.tensors[FRONT] = some_kv(tiny_backbone, 2).vectors
    rows = [row_of(tiny_backbone, made.begun, passages=PASSAGES[:n]) for n in (1, 3)]
    answers = [(5, 6, 7, 1), (9, 1)]
    with torch.no_grad():
        loss, tokens = made.loss(None, [Example(r, a) for r, a in zip(rows, answers, strict=True)], [0, 1])
        wanted = 0.0
        for row, answer in zip(rows, answers, strict=True):
            ids = [i for part in row.suffix[1:] for i in part] + list(answer[:-1])
            logits = whole_logits(tiny_backbone, row, made.tensors[FRONT], ids)[-len(answer) :]
            wanted += float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum"))
    assert tokens == 6
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_below_the_top_layers_passages_do_not_see_the_prompt(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_top import FRONT, TopLayers
    from soft_prompt.forward import Example

    losses = []
    for seed in (2, 3):
        made = prototype(TopLayers, tiny_backbone, tmp_path, top=1)
        made.tensors[FRONT] = some_kv(tiny_backbone, seed).vectors[-1:]
        row = row_of(tiny_backbone, made.begun)
        with torch.no_grad():
            losses.append(float(made.loss(None, [Example(row, (5, 1))], [0])[0]))
        below = made.known[row.prefix].below
        assert below.shape[0] == tiny_backbone.cache_layout[0] - 1
        losses.append(float(below.abs().sum()))
    assert losses[0] != pytest.approx(losses[2], abs=1e-3)
    assert losses[1] == losses[3]


def test_replies_are_the_likeliest_tokens_of_the_whole(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_top import FRONT, TopLayers

    made = prototype(TopLayers, tiny_backbone, tmp_path, top=2)
    made.tensors[FRONT] = some_kv(tiny_backbone, 2).vectors[-2:]
    rows = [row_of(tiny_backbone, made.begun, passages=PASSAGES[:n]) for n in (1, 3)]
    with torch.no_grad():
        said = made._decode(rows, 5)
        for row, ids in zip(rows, said, strict=True):
            # Each token again, from a pass of its own over all that stands before it.
            for at, token in enumerate(ids):
                whole = made._forward([row.followed_by(tuple(ids[:at]))])
                assert int(made._logits(whole.hidden[0, -1]).argmax()) == token


def test_shifts_reach_the_first_places_behind_the_slot_alone(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_dept import DIRECTIONS, SHIFTS, ShiftedEmbeddings

    made = prototype(ShiftedEmbeddings, tiny_backbone, tmp_path, kind="kv", length=LENGTH, rank=2)
    row = row_of(tiny_backbone, made.begun)
    ids = [i for part in row.suffix[1:] for i in part]
    made.tensors |= {SHIFTS: torch.ones(4, 2), DIRECTIONS: torch.full((2, tiny_backbone.hidden_size), 0.5)}
    made.tensors[SHIFTS] = torch.nn.functional.pad(made.tensors[SHIFTS], (0, 0, 0, 60))
    _, shifted = made.dress(row, "When?", made.now(None)).suffix
    difference = shifted.vectors - tiny_backbone.embed(ids)
    torch.testing.assert_close(difference[:4], torch.ones_like(difference[:4]))
    assert float(difference[4:].abs().max()) < 1e-6


def test_a_student_learns_from_answers_and_teacher_by_their_shares(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_distil import TOP, Distilled
    from soft_prompt import PrefixStore
    from soft_prompt.forward import Example, answer_logits, answer_loss

    fill = some_kv(tiny_backbone, 1)
    examples = [Example(row_of(tiny_backbone, fill, passages=PASSAGES[:n]), (5, 6, 1)[n - 1 :]) for n in (1, 2)]
    store = PrefixStore(tiny_backbone)
    losses = {}
    with torch.no_grad():
        for share in (0.0, 0.5, 1.0):
            made = prototype(Distilled, tiny_backbone, tmp_path, data=None, share=share)
            # Its own teacher: what is left between them is the mass outside the likeliest tokens.
            made.lessons = examples
            losses[share], tokens = made.loss(store, examples, [0, 1])
        outside = -torch.log_softmax(answer_logits(store, examples), -1).topk(TOP).values.logsumexp(-1).sum()
        torch.testing.assert_close(losses[0.0], answer_loss(store, examples)[0])
    torch.testing.assert_close(losses[1.0], outside, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(losses[0.5], (losses[0.0] + losses[1.0]) / 2)
    assert tokens == 5


def test_dropout_leaves_out_parts_in_training_alone(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_adapter import AdapterPrototype

    made = prototype(AdapterPrototype, tiny_backbone, tmp_path, rank=0, vector_dropout=0.5)
    made.tensors = {"vectors": made.begun.vectors + 1}
    assert torch.equal(made.now(None).vectors, made.tensors["vectors"])
    learned = made.now(3).vectors - made.begun.vectors
    share = float((learned.abs() < 1e-5).float().mean())
    assert 0.4 < share < 0.6
    assert float(learned.max()) == pytest.approx(2, abs=1e-4)


def test_each_layer_of_an_adapter_leaves_out_other_inputs(tiny_backbone: Backbone, tmp_path: Path) -> None:
    from dataclasses import replace

    from quality_prototypes_adapter import AdapterPrototype
    from soft_prompt import initial_adapter

    made = prototype(AdapterPrototype, tiny_backbone, tmp_path, rank=2, adapter_dropout=0.5)
    made.begun = replace(made.begun, adapter=initial_adapter(tiny_backbone, 2, 0))
    now = made.now(3).adapter
    left_out = {name: (down == 0).all(0) for name, down in now.down.items() if down.shape[1] == 32}
    assert len({tuple(mask.tolist()) for mask in left_out.values()}) == len(left_out)
    assert all(mask.any() and not mask.all() for mask in left_out.values())


def test_relative_rates_move_each_layer_in_its_own_unit(tiny_backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from quality_prototypes_relative import MOVED, Relative

    made = prototype(Relative, tiny_backbone, tmp_path)
    start = made.begun.vectors
    start[1, 0] *= 10
    made.tensors = {MOVED: torch.zeros_like(start)}
    assert torch.equal(made.now(None).vectors, start)
    made.tensors = {MOVED: torch.ones_like(start)}
    moved = made.now(None).vectors - start
    torch.testing.assert_close(moved[0, 0, 0, 0, 0], start[0, 0].pow(2).mean().sqrt())
    assert float(moved[1, 0, 0, 0, 0]) == pytest.approx(10, rel=0.1)
    assert float(moved[1, 1, 0, 0, 0]) == pytest.approx(1, rel=0.1)


def test_keys_shifts_and_a_network_that_have_learned_nothing_leave_a_prompt_with_its_vectors(
    tiny_backbone: Backbone, tmp_path: Path
) -> None:
    import torch

    from quality_prototypes_dept import DIRECTIONS, SHIFTS
    from quality_prototypes_places import EARLY
    from quality_prototypes_together import Together
    from soft_prompt.reparameterise import GAIN, initial_network

    made = prototype(Together, tiny_backbone, tmp_path)
    made.network.begun = made.begun
    directions = torch.zeros(2, tiny_backbone.hidden_size)
    made.tensors |= {SHIFTS: torch.ones(64, 2), DIRECTIONS: directions, EARLY: some_kv(tiny_backbone, 2).vectors}
    made.tensors |= initial_network(made.begun.vectors, "kv", 0)
    row = row_of(tiny_backbone, made.begun)
    front, behind = made.dress(row, "When?", made.now(None)).suffix
    assert front.length == 2 * LENGTH
    torch.testing.assert_close(front.vectors[..., :LENGTH, :], made.begun.vectors)
    assert torch.equal(behind.vectors, tiny_backbone.embed([i for part in row.suffix[1:] for i in part]))
    made.tensors[GAIN] = torch.ones_like(made.tensors[GAIN])
    made.tensors[DIRECTIONS] = torch.ones_like(directions)
    front, shifted = made.dress(row, "When?", made.now(None)).suffix
    assert not torch.allclose(front.vectors[..., :LENGTH, :], made.begun.vectors)
    torch.testing.assert_close(shifted.vectors, behind.vectors + 2)

"""`block` attention: passages are computed once behind the head and combined at any position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

import pytest
import torch
from oracle import batch_logits, some_ids, some_soft_prompt
from torch import Tensor

from prompts import Message, PassageSegment, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import (
    Backbone,
    BackboneError,
    Decoding,
    PrefixStore,
    Row,
    encode_prompt,
    generate,
    initial_adapter,
    kv_from_text_twin,
)
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.kv_cache import prefill
from soft_prompt.positions.rotary import unrotate
from soft_prompt.rows.batch import assemble

# Left out of `make check`.
pytestmark = pytest.mark.heavy

HEAD, ONE, TWO, THREE = some_ids(7, 1), some_ids(11, 2), some_ids(5, 3), some_ids(9, 4)
QUESTION = some_ids(6, 5)


def block_row(*passages: tuple[int, ...], suffix: tuple[object, ...] = (QUESTION,), text: tuple[int, ...] = ()) -> Row:
    segments = [HEAD, *passages, *([text] if text else [])]
    return Row(
        prefix=tuple(i for ids in segments for i in ids),
        suffix=suffix,  # type: ignore[arg-type]
        cuts=tuple(accumulate(len(ids) for ids in segments[:-1])),
        attention="block",
        passages=len(passages),
    )


def prefix_of(store: PrefixStore, row: Row) -> Tensor:
    """Keys and values of a row's whole prefix."""
    layers, heads, head_dim = store.backbone.cache_layout
    into = torch.full((layers, 2, heads, len(row.prefix), head_dim), float("nan"))
    store.write(row, into, len(row.prefix))
    return into


def check_each_passage_alone(backbone: Backbone, store: PrefixStore) -> None:
    whole = prefix_of(store, block_row(ONE, TWO, THREE))
    at = len(HEAD)
    for passage in (ONE, TWO, THREE):
        alone = prefill(backbone, [*HEAD, *passage])[..., len(HEAD) :, :]
        mine = whole[..., at : at + len(passage), :]
        torch.testing.assert_close(mine[:, 1], alone[:, 1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            unrotate(backbone, mine[:, 0], at), unrotate(backbone, alone[:, 0], len(HEAD)), atol=1e-4, rtol=1e-4
        )
        at += len(passage)


def test_values_and_unrotated_keys_are_those_of_each_passage_alone(tiny_backbone: Backbone, store: PrefixStore) -> None:
    check_each_passage_alone(tiny_backbone, store)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma", "phi", "phi3", "gemma2", "gemma3_text", "mistral"])
def test_so_they_are_in_other_families(family: str, make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone(family)
    check_each_passage_alone(backbone, PrefixStore(backbone))


def test_so_they_are_where_cosine_and_sine_are_scaled(make_tiny_backbone: Callable[..., Backbone]) -> None:
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}
    backbone = make_tiny_backbone(rope_parameters=rope)
    assert backbone.model.base_model.rotary_emb.attention_scaling > 1.1
    check_each_passage_alone(backbone, PrefixStore(backbone))


@pytest.mark.parametrize(
    ("family", "words"), [("gpt2", "no rotary positions"), ("opt", "no rotary positions"), ("t5", "encoder-decoder")]
)
def test_where_keys_cannot_be_moved_it_is_refused(
    family: str, words: str, make_tiny_backbone: Callable[..., Backbone]
) -> None:
    prompt = rendered(TextSegment("Help."), PassageSegment("Fees: 12.", "a"), SoftSegment("domain"))
    backbone = make_tiny_backbone(family)
    with pytest.raises(BackboneError, match=words) as caught:
        encode_prompt(backbone, prompt, {}, "block")
    assert "--kind embedding" in caught.value.next_step
    assert encode_prompt(backbone, prompt, {}).passages == 1


def test_one_passage_is_the_same_in_both_modes_to_the_bit(store: PrefixStore) -> None:
    row = block_row(ONE)
    assert torch.equal(prefix_of(store, row), prefix_of(store, replace(row, attention="exact")))


def test_several_passages_differ_from_ordinary_attention(store: PrefixStore) -> None:
    row = block_row(ONE, TWO)
    exact = prefix_of(store, replace(row, attention="exact"))
    assert (prefix_of(store, row) - exact).abs().max() > 0.1


def test_the_first_passage_keeps_every_bit(store: PrefixStore) -> None:
    entry = store.get(ONE, (HEAD,))
    whole = prefix_of(store, block_row(ONE, TWO))
    assert torch.equal(whole[..., len(HEAD) : len(HEAD) + len(ONE), :], entry)


def test_any_set_of_passages_is_put_together_without_running_them(store: PrefixStore) -> None:
    for row in (block_row(ONE), block_row(TWO), block_row(THREE)):
        store.warm(row)
    computed = store.computed_tokens
    assert computed == len(HEAD) + len(ONE) + len(TWO) + len(THREE)
    for row in (block_row(THREE, ONE), block_row(TWO, THREE, ONE), block_row(ONE, TWO)):
        prefix_of(store, row)
    assert store.computed_tokens == computed


def test_in_exact_mode_what_rows_share_is_computed_once(store: PrefixStore) -> None:
    exact = [replace(block_row(*order), attention="exact") for order in ((ONE, TWO), (ONE, THREE), (TWO, ONE))]
    for row in exact:
        store.warm(row)
    shared = len(HEAD) + len(ONE)
    assert store.computed_tokens == shared + len(TWO) + len(THREE) + len(TWO) + len(ONE)


def test_exact_segments_equal_one_pass_over_the_whole(tiny_backbone: Backbone, store: PrefixStore) -> None:
    row = replace(block_row(ONE, TWO, text=THREE), attention="exact")
    one_pass = prefill(tiny_backbone, row.prefix)
    torch.testing.assert_close(prefix_of(store, row), one_pass, atol=1e-5, rtol=1e-5)


def test_a_row_with_another_soft_prompt_keeps_its_attention_and_its_passages(tiny_backbone: Backbone) -> None:
    # Every step of a training run makes its rows so.
    first, second = (some_soft_prompt(tiny_backbone, 3, seed) for seed in (1, 2))
    row = block_row(TWO, suffix=(first, QUESTION))
    assert row.with_soft_prompt(second) == block_row(TWO, suffix=(second, QUESTION))
    assert row.with_soft_prompt(second).attention == "block"


def test_text_behind_the_passages_sees_them_all(tiny_backbone: Backbone, store: PrefixStore) -> None:
    whole = prefix_of(store, block_row(ONE, TWO, text=THREE))
    before = prefix_of(store, block_row(ONE, TWO))
    expected = prefill(store.backbone, THREE, before)
    assert torch.equal(whole[..., -len(THREE) :, :], expected)
    other = prefix_of(store, block_row(THREE, TWO, text=THREE))
    assert (other[..., -len(THREE) :, :] - expected).abs().max() > 0.1


def last_logits(store: PrefixStore, rows: Sequence[Row]) -> Tensor:
    """Logits behind each row, adapters and all: `[rows, vocabulary]`."""
    with apply_adapters(store.backbone, batch_adapters(store.backbone, [row.adapter for row in rows])):
        return batch_logits(store.backbone, assemble(store, rows))[:, -1]


def test_a_batch_that_mixes_modes_kinds_lengths_and_adapters_equals_each_row_alone(
    tiny_backbone: Backbone, store: PrefixStore
) -> None:
    kv = kv_from_text_twin(store.backbone, "domain", "Be brief.", HEAD)
    longer = kv_from_text_twin(store.backbone, "domain", "Answer in one short sentence, please.", HEAD)
    adapter = initial_adapter(tiny_backbone, 2, 1)
    adapter = replace(adapter, up={n: torch.randn(t.shape) * 0.3 for n, t in adapter.up.items()})
    rows = [
        block_row(ONE, TWO, suffix=(kv, QUESTION)),
        replace(block_row(ONE, TWO, suffix=(kv, some_ids(3, 8))), attention="exact"),
        block_row(THREE, ONE, TWO, suffix=(some_soft_prompt(tiny_backbone, 4, 3), QUESTION)),
        block_row(TWO, suffix=(replace(longer, adapter=adapter), some_ids(9, 9))),
        replace(block_row(ONE, suffix=(replace(kv, adapter=adapter), QUESTION)), attention="exact"),
        Row(some_ids(4, 6), (QUESTION,)),
        block_row(ONE, TWO, suffix=(QUESTION,), text=THREE),
        Row((), (some_soft_prompt(tiny_backbone, 2, 4), some_ids(2, 7))),
    ]
    decoding = Decoding(max_tokens=6)
    replies = generate(store, rows, decoding, batch_size=len(rows))
    alone = [generate(PrefixStore(tiny_backbone), [row], decoding)[0] for row in rows]
    assert [(reply.text, reply.tokens, reply.finish) for reply in replies] == [
        (r.text, r.tokens, r.finish) for r in alone
    ]
    logits = last_logits(store, rows)
    for number, row in enumerate(rows):
        torch.testing.assert_close(logits[number], last_logits(store, [row])[0], atol=1e-4, rtol=0)


def test_no_token_of_a_passage_runs_again_beside_a_longer_suffix(store: PrefixStore) -> None:
    batch = assemble(store, [block_row(ONE, TWO, suffix=(some_ids(2, 6),)), block_row(ONE, TWO)])
    assert batch.cached_length == len(HEAD) + len(ONE) + len(TWO)
    assert batch.mask[0, : batch.cached_length].all()


def test_rows_of_different_length_are_refused_where_windows_would_count_padding(
    make_tiny_backbone: Callable[..., Backbone],
) -> None:
    backbone = make_tiny_backbone("mistral")
    rows = [block_row(ONE, TWO, suffix=(some_ids(2, 6),)), block_row(ONE, TWO)]
    with pytest.raises(BackboneError, match="sliding windows"):
        assemble(PrefixStore(backbone), rows)


def rendered(*parts: object) -> RenderedPrompt:
    return RenderedPrompt((Message("system", parts), Message("user", (TextSegment("Where?"),))))  # type: ignore[arg-type]


def test_a_rendered_prompt_is_cut_at_its_passages(tiny_backbone: Backbone) -> None:
    prompt = rendered(
        TextSegment("Help."), PassageSegment("Fees: 12.", "a"), TextSegment("--"), PassageSegment("Open at nine.", "b"),
        TextSegment("Now"), TextSegment(" answer:"), SoftSegment("domain"),
    )  # fmt: skip
    row = encode_prompt(tiny_backbone, prompt, {}, "block")
    head, *passages, text = [tiny_backbone.tokenizer.decode(ids) for ids in row.segments]
    assert head == "<|im_start|>system\nHelp."
    assert passages == ["Fees: 12.--", "Open at nine."]
    assert text == "Now answer:"
    assert (row.passages, row.attention) == (2, "block")
    assert [row.is_passage(number) for number in range(4)] == [False, True, True, False]


def test_a_prompt_without_passages_is_one_segment(tiny_backbone: Backbone) -> None:
    row = encode_prompt(tiny_backbone, rendered(TextSegment("Help."), SoftSegment("domain")), {}, "block")
    assert (len(row.segments), row.passages) == (1, 0)


def test_a_passage_behind_the_slot_is_no_segment(tiny_backbone: Backbone) -> None:
    prompt = rendered(PassageSegment("Fees: 12.", "a"), SoftSegment("domain"), PassageSegment("Open.", "b"))
    row = encode_prompt(tiny_backbone, prompt, {}, "block")
    assert [tiny_backbone.tokenizer.decode(ids) for ids in row.segments] == ["<|im_start|>system\n", "Fees: 12."]


def test_block_attention_without_a_head_is_refused(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_backbone.tokenizer, "chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}")
    prompt = rendered(PassageSegment("Fees: 12.", "a"), SoftSegment("domain"))
    assert encode_prompt(tiny_backbone, prompt, {}, "exact").segments[0] == ()
    with pytest.raises(BackboneError, match="begins with a passage"):
        encode_prompt(tiny_backbone, prompt, {}, "block")

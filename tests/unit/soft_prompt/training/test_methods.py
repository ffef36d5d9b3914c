"""Training methods on the tiny task: what each changes, and that a killed run ends with the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny_task import DEV, EXAMPLES, Killed, configured, killer, same_bits, task

from soft_prompt import (
    Backbone,
    PrefixStore,
    SoftPrompt,
    TrainConfig,
    TrainingError,
    TrainResult,
    from_text_twin,
    initial_adapter,
    kv_from_text_twin,
    train,
)
from soft_prompt.training.answer_loss import answer_losses, mean_answer_loss, teach
from soft_prompt.training.config import TrainingOptions
from soft_prompt.training.example import TrainingExample, encode_example
from soft_prompt.training.methods.batches import BatchOrder
from soft_prompt.training.methods.data import MethodData
from soft_prompt.training.methods.parametrisation import Mixture, Shared, on_cpu
from soft_prompt.training.methods.reptile import document_groups

pytestmark = pytest.mark.heavy

SOURCE = [task("Trains leave at six.", "When?", "At six."), task("A ticket is 3.", "How much?", "It is 3.")]


def with_method(
    backbone: Backbone,
    start: SoftPrompt,
    method: str,
    *,
    folder: Path | None = None,
    kill_at: int | None = None,
    changed: dict[str, Any] | None = None,
    **data: Any,
) -> TrainResult:
    config = configured(method=method, **(changed or {}))
    store = PrefixStore(backbone)
    return train(store, start, EXAMPLES, DEV, config, folder=folder, on_step=killer(kill_at), data=MethodData(**data))


def taught(backbone: Backbone, teacher: SoftPrompt) -> Sequence[Any]:
    store = PrefixStore(backbone)
    return teach(store, [encode_example(backbone, *example, teacher) for example in EXAMPLES], 2)


def other(backbone: Backbone, length: int) -> SoftPrompt:
    return from_text_twin(backbone, "domain", "State what the text says and nothing else.", length)


@pytest.fixture
def needs(tiny_backbone: Backbone, start: SoftPrompt) -> dict[str, dict[str, Any]]:
    """What each method needs."""
    noisy = replace(start, vectors=start.vectors + 0.1)
    return {
        "replay": {"replayed": SOURCE},
        "weighted-replay": {"replayed": SOURCE, "weights": [1.5, 0.5]},
        "mixture": {"sources": [start, noisy]},
        "shared": {"groups": [0, 0, 1, 1, 1]},
        "distillation": {"teacher": taught(tiny_backbone, noisy)},
        "reptile": {"groups": [0, 0, 1, 1, 1]},
    }


METHODS = ("replay", "weighted-replay", "mixture", "shared", "distillation", "reptile")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_and_differs_from_plain_training(
    tiny_backbone: Backbone,
    start: SoftPrompt,
    needs: dict[str, dict[str, Any]],
    method: str,
) -> None:
    plain = with_method(tiny_backbone, start, "plain", changed={"epochs": 6})
    result = with_method(tiny_backbone, start, method, changed={"epochs": 6}, **needs[method])
    assert result.dev_loss < result.start_loss
    assert result.soft_prompt.vectors.shape == start.vectors.shape
    assert not torch.equal(result.soft_prompt.vectors, plain.soft_prompt.vectors)
    assert not result.soft_prompt.vectors.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, needs: dict[str, dict[str, Any]], method: str
) -> None:
    whole = with_method(tiny_backbone, start, method, **needs[method])
    with pytest.raises(Killed):
        with_method(tiny_backbone, start, method, folder=tmp_path, kill_at=14, **needs[method])
    result = with_method(tiny_backbone, start, method, folder=tmp_path, **needs[method])
    assert result.resumed
    assert same_bits(result, whole)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "shared"])
def test_a_method_without_what_it_needs_is_refused(tiny_backbone: Backbone, start: SoftPrompt, method: str) -> None:
    with pytest.raises(TrainingError, match=f"for the method '{method}'"):
        with_method(tiny_backbone, start, method)


def test_a_teacher_of_an_encoder_decoder_is_refused_if_its_distributions_would_be_ignored(
    tiny_backbone: Backbone, encoder_backbone: Backbone, start: SoftPrompt
) -> None:
    own_start = from_text_twin(encoder_backbone, "domain", "Be brief.")
    with pytest.raises(TrainingError, match="distributions of a teacher for the encoder-decoder"):
        with_method(encoder_backbone, own_start, "distillation", teacher=taught(tiny_backbone, start))
    answers_alone = with_method(encoder_backbone, own_start, "distillation", teacher=[None] * len(EXAMPLES))
    assert same_bits(answers_alone, with_method(encoder_backbone, own_start, "plain"))


def test_a_checkpoint_of_other_data_is_not_resumed(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, needs: dict[str, dict[str, Any]]
) -> None:
    with pytest.raises(Killed):
        with_method(tiny_backbone, start, "replay", folder=tmp_path, kill_at=11, replayed=SOURCE)
    assert not with_method(tiny_backbone, start, "replay", folder=tmp_path, replayed=SOURCE[:1]).resumed


def test_settings_of_another_method_are_refused() -> None:
    for name, value in {"replay_share": 0.5, "difference_rank": 2, "teacher_share": 0.5, "inner_steps": 2}.items():
        with pytest.raises(ValidationError, match=f"{name} with `method: plain`"):
            TrainingOptions.model_validate({name: value})
    with pytest.raises(TrainingError) as caught:
        TrainConfig(method="mixture", inner_steps=2)
    assert caught.value.found == "inner_steps with `method: mixture`; expected `method: reptile`"
    assert TrainConfig(method="replay", replay_share=0.5).replay_share == 0.5


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        # A number that JSON cannot hold would make the manifest unreadable.
        ({"method": "weighted-replay", "weight_temperature": math.inf}, "weight_temperature=inf"),
        ({"method": "distillation", "teacher_temperature": math.inf}, "teacher_temperature=inf"),
        ({"method": "shared", "difference_rank": 10**9}, "difference_rank=1000000000"),
        ({"seed": 2**64}, f"seed={2**64}"),
        ({"seed": -(2**63) - 1}, f"seed={-(2**63) - 1}"),
    ],
)
def test_a_setting_beyond_its_limits_is_refused(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(TrainingError, match=found):
        TrainConfig(**settings)


# Replay


def test_the_source_is_remembered_better_with_replay(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    def source_loss(result: TrainResult) -> float:
        examples = [encode_example(tiny_backbone, *example, result.soft_prompt) for example in SOURCE]
        return mean_answer_loss(PrefixStore(tiny_backbone), examples, 2)

    changed = {"epochs": 8}
    plain = with_method(tiny_backbone, start, "plain", changed=changed)
    replay = with_method(tiny_backbone, start, "replay", changed={**changed, "replay_share": 0.5}, replayed=SOURCE)
    assert source_loss(replay) < source_loss(plain)


def test_weights_of_one_are_no_weights(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    plain = with_method(tiny_backbone, start, "replay", replayed=SOURCE)
    weighted = with_method(tiny_backbone, start, "weighted-replay", replayed=SOURCE, weights=[1.0, 1.0])
    assert torch.equal(plain.soft_prompt.vectors, weighted.soft_prompt.vectors)


def test_the_loss_of_each_example_adds_up_to_the_mean(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    store = PrefixStore(tiny_backbone)
    examples = [encode_example(tiny_backbone, *example, start) for example in EXAMPLES]
    losses, tokens = answer_losses(store, examples, 2), [len(example.answer) for example in examples]
    mean = sum(loss * n for loss, n in zip(losses, tokens, strict=True)) / sum(tokens)
    assert mean == pytest.approx(mean_answer_loss(store, examples, 2), rel=1e-5)


# What is trained


def test_a_mixture_starts_at_the_mean_of_its_sources(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    mixture = Mixture(start, [start, other(tiny_backbone, start.length)])
    mixed = mixture.soft_prompt(mixture.initial()).vectors
    assert torch.allclose(mixed, (start.vectors + other(tiny_backbone, start.length).vectors) / 2)


def test_sources_of_another_shape_are_not_mixed(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    longer = other(tiny_backbone, start.length + 1)
    with pytest.raises(TrainingError, match="soft prompt 2 to mix has other tensors"):
        with_method(tiny_backbone, start, "mixture", sources=[start, longer])


KINDS: dict[str, Callable[[Backbone], SoftPrompt]] = {
    "embedding": lambda backbone: from_text_twin(backbone, "domain", "Answer the question.", 4),
    "kv": lambda backbone: replace(
        kv_from_text_twin(backbone, "domain", "Answer the question.", (), 4), adapter=initial_adapter(backbone, 2, 0)
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_difference_starts_as_nothing_and_is_small(tiny_backbone: Backbone, kind: str) -> None:
    start = KINDS[kind](tiny_backbone)
    shared = Shared(start, groups=0, rank=1, seed=0)
    initial = shared.initial()
    for name, tensor in shared.soft_prompt(initial).tensors().items():
        assert torch.equal(tensor, start.tensors()[name])
    assert sum(tensor.numel() for tensor in initial.values()) < sum(t.numel() for t in start.tensors().values())


def test_only_the_difference_is_trained_for_one_domain(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    result = with_method(tiny_backbone, start, "shared", changed={"epochs": 6})
    factor = result.soft_prompt.vectors / start.vectors
    # An outer product: every row is a multiple of the first.
    assert torch.linalg.matrix_rank(factor, rtol=1e-3) == 1
    assert result.dev_loss < result.start_loss


def test_a_rank_that_the_difference_cannot_have_is_refused(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    with pytest.raises(TrainingError, match="a difference of rank 2 for the kind 'embedding'"):
        with_method(tiny_backbone, start, "shared", changed={"difference_rank": 2})


def test_domains_share_one_soft_prompt_and_differ_by_their_own(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    shared = Shared(start, groups=2, rank=1, seed=0)
    tensors = shared.initial()
    tensors["1.left:vectors"] = tensors["1.left:vectors"] * 2
    first, second, common = (shared.soft_prompt(tensors, group).vectors for group in (0, 1, None))
    assert torch.equal(first, common)
    assert torch.equal(second, 2 * common)
    assert on_cpu(shared.soft_prompt(tensors)).vectors.is_contiguous()


# Reptile


def test_reptile_makes_its_steps_on_one_domain_at_a_time(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    examples = [
        replace(encode_example(tiny_backbone, *example, start), group=n % 2) for n, example in enumerate(EXAMPLES * 4)
    ]
    order = BatchOrder(configured(method="reptile", inner_steps=2), examples, [])
    batches, ends = order.batches(0), order.ends_of_runs(0)
    assert sorted(i for batch in batches for i in batch) == list(range(20))
    assert len(batches) == order.plan().steps / order.plan().epochs
    first = 0
    for end in sorted(ends):
        assert 1 <= end - first <= 2
        assert len({examples[i].group for batch in batches[first:end] for i in batch}) == 1
        first = end
    assert first == len(batches)


def test_reptile_with_the_whole_way_is_training_domain_by_domain(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    groups = [0, 0, 1, 1, 1]
    whole = with_method(tiny_backbone, start, "reptile", changed={"outer_rate": 1.0}, groups=groups)
    half = with_method(tiny_backbone, start, "reptile", changed={"outer_rate": 0.5}, groups=groups)
    tiny = with_method(tiny_backbone, start, "reptile", changed={"outer_rate": 1e-6}, groups=groups)
    moved = [(one.soft_prompt.vectors - start.vectors).norm() for one in (whole, half, tiny)]
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 1e-4


@pytest.mark.parametrize(
    ("domains", "documents", "questions", "minimum", "groups"),
    [
        # b and d are joined.
        ([0] * 7, "aabcccd", range(7), 2, [0, 0, 2, 1, 1, 1, 2]),
        ([0] * 7, "aabcccd", range(7), 1, [0, 0, 1, 2, 2, 2, 3]),
        # b is left over, and joins the last group.
        ([0] * 5, "aabcc", range(5), 2, [0, 0, 1, 1, 1]),
        ([0] * 3, "abc", range(3), 9, [0, 0, 0]),
        # Documents of different domains are never joined.
        ([0, 0, 1, 1, 1, 1], "abaabc", range(6), 2, [0, 0, 1, 1, 2, 2]),
        ([0, 1], "aa", range(2), 4, [0, 1]),
        # A repeated question counts once.
        ([0] * 4, "aabb", [1, 1, 2, 3], 2, [0, 0, 0, 0]),
    ],
)
def test_documents_are_groups_and_small_ones_are_joined(
    domains: list[int], documents: str, questions: Sequence[int], minimum: int, groups: list[int]
) -> None:
    assert document_groups(domains, list(documents), questions, minimum) == groups


# Distillation


def test_a_student_learns_its_teacher(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    teacher = with_method(tiny_backbone, start, "plain", changed={"epochs": 12}).soft_prompt
    targets = taught(tiny_backbone, teacher)
    alone = {"teacher_share": 1.0, "epochs": 8}
    result = with_method(tiny_backbone, start, "distillation", changed=alone, teacher=targets)
    # The labels were not used.
    assert result.dev_loss < result.start_loss


def test_examples_without_a_teacher_count_by_their_labels(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    from soft_prompt.training.answer_loss import Distillation, answer_loss

    store = PrefixStore(tiny_backbone)
    examples = [encode_example(tiny_backbone, *example, start) for example in EXAMPLES[:3]]
    targets = taught(tiny_backbone, replace(start, vectors=start.vectors + 0.1))
    mixed = [examples[0], replace(examples[1], teacher=targets[1]), examples[2]]
    how = Distillation(0.5, 2.0)
    alone = [float(answer_loss(store, [one], how)[0].detach()) for one in mixed]
    assert float(answer_loss(store, mixed, how)[0].detach()) == pytest.approx(sum(alone), rel=1e-4)
    assert alone[0] == pytest.approx(float(answer_loss(store, [examples[0]])[0].detach()), rel=1e-5)
    assert alone[1] != pytest.approx(float(answer_loss(store, [examples[1]])[0].detach()), rel=1e-3)


def test_a_weighted_example_counts_by_its_weight(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    from soft_prompt.training.answer_loss import answer_loss

    store = PrefixStore(tiny_backbone)
    examples: list[TrainingExample] = [encode_example(tiny_backbone, *example, start) for example in EXAMPLES[:2]]
    with torch.no_grad():
        alone = [float(answer_loss(store, [example])[0]) for example in examples]
        weighted = [replace(example, weight=weight) for example, weight in zip(examples, (0.5, 2.0), strict=True)]
        assert float(answer_loss(store, weighted)[0]) == pytest.approx(0.5 * alone[0] + 2 * alone[1], rel=1e-5)

"""Domain-adversarial training: the sign of the reversal, a toy problem, and runs on the tiny task."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tiny_task import DEV, EXAMPLES, Killed, configured, killer, same_bits, task
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from soft_prompt import (
    Backbone,
    PrefixStore,
    SoftPrompt,
    TrainingError,
    TrainResult,
    kv_from_text_twin,
    train,
)
from soft_prompt.training.answer_loss import answer_logits, answer_loss, answer_loss_and_states, with_lower_states
from soft_prompt.training.checkpoint import FILE
from soft_prompt.training.example import TrainingExample, encode_example
from soft_prompt.training.methods.adversarial import Adversary, reversal_weight, reverse_gradient
from soft_prompt.training.methods.data import MethodData
from soft_prompt.training.schedule import learning_rate

pytestmark = pytest.mark.heavy

CPU = torch.device("cpu")
UNLABELLED = [task(passage, "What?", "")[0] for passage in ("Trains leave at six.", "A ticket is 3.", "No dogs.")]
OWN = MethodData(domains=[1] * len(EXAMPLES), unlabelled=UNLABELLED)


# The reversal


def test_the_gradient_is_reversed_and_weighted_and_the_values_are_not() -> None:
    values = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    reversed_values = reverse_gradient(values, 0.25)
    assert torch.equal(reversed_values, values)
    (reversed_values**2).sum().backward()
    assert values.grad is not None
    assert torch.allclose(values.grad, -0.25 * 2 * values.detach())


def test_states_get_the_reversed_gradient_and_the_classifier_its_own() -> None:
    adversary = Adversary(6, 3, weight=0.7, seed=0, device=CPU)
    adversary.by_name = {n: t.detach().double().requires_grad_(True) for n, t in adversary.by_name.items()}
    states = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    domains, step = [0, 2, 1, 2], 1e-6
    adversary.start_step(domains, progress=0.3)
    adversary.loss(states, domains).backward()

    def slope(tensor: Tensor, at: tuple[int, int]) -> float:
        """The finite difference of the loss, which no reversal changes."""
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[at] += sign * step
                values.append(float(adversary.loss(states, domains)))
                tensor[at] -= sign * step
        return (values[0] - values[1]) / (2 * step)

    weight = reversal_weight(0.7, 0.3)
    assert weight > 0.5
    out = adversary.by_name["adversary.out"]
    assert states.grad is not None
    assert out.grad is not None
    for at in ((0, 0), (1, 3), (3, 5)):
        assert float(states.grad[at]) == pytest.approx(-weight * slope(states, at), rel=1e-5)
    for at in ((0, 0), (2, 40)):
        assert float(out.grad[at]) == pytest.approx(slope(out, at), rel=1e-5)


def test_the_weight_rises_from_nothing() -> None:
    weights = [reversal_weight(0.5, progress / 10) for progress in range(11)]
    assert weights[0] == 0
    assert weights == sorted(weights)
    assert weights[5] == pytest.approx(0.5 * 0.98661, rel=1e-4)
    assert weights[10] < 0.5


def test_every_domain_of_a_batch_counts_the_same() -> None:
    adversary = Adversary(4, 2, weight=1.0, seed=0, device=CPU)
    states = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    adversary.start_step([0, 0, 0, 1], 1.0)
    whole = float(adversary.loss(states, [0, 0, 0, 1]).detach())
    adversary.start_step([0, 0, 0, 1], 1.0)
    parts = [float(adversary.loss(states[i : i + 1], [domain]).detach()) for i, domain in enumerate([0, 0, 0, 1])]
    assert sum(parts) == pytest.approx(whole, rel=1e-5)
    losses = torch.nn.functional.cross_entropy(
        adversary.logits(states), torch.tensor([0, 0, 0, 1]), reduction="none"
    ).tolist()
    assert whole == pytest.approx((sum(losses[:3]) / 3 + losses[3]) / 2, rel=1e-5)


def toy(weight: float) -> tuple[float, float, float]:
    """Features of two independent signs, label and domain, behind noise: `base + signs @ features + noise`.

    Returns the accuracies of label and domain in the last steps, and the length that is left of the domain's feature.
    """
    generator, steps, size = torch.Generator().manual_seed(0), 400, 16
    base = 2 * torch.randn(size, generator=generator)
    features = (torch.randn(2, size, generator=generator) / 2).requires_grad_(True)
    start = float(features[1].detach().norm())
    head = torch.zeros(size, requires_grad=True)
    adversary = Adversary(size, 2, weight, seed=0, device=CPU)
    optimizer = torch.optim.AdamW([features, head], weight_decay=0.0)
    right, apart = [], []
    for step in range(steps):
        signs = torch.randint(0, 2, (64, 2), generator=generator).float()
        labels, domains = signs[:, 0], signs[:, 1].long().tolist()
        optimizer.param_groups[0]["lr"] = learning_rate(step, peak=1e-2, warmup=0, total=steps)
        optimizer.zero_grad()
        adversary.start_step(domains, step / steps)
        states = base + (2 * signs - 1) @ features + 0.5 * torch.randn(64, size, generator=generator)
        logits = (states - base) @ head
        (binary_cross_entropy_with_logits(logits, labels) + adversary.loss(states, domains)).backward()
        optimizer.step()
        adversary.optimizer.step()
        right.append(float(((logits > 0) == labels.bool()).float().mean()))
        apart.append(adversary.accuracy)
    return mean(right[-50:]), mean(apart[-50:]), float(features[1].detach().norm()) / start


def test_the_classifier_loses_in_a_toy_problem() -> None:
    label, domain, left = toy(1e-9)
    assert label > 0.98
    assert domain > 0.98
    assert left > 0.9
    label, domain, left = toy(1.0)
    assert label > 0.98
    assert domain < 0.8
    assert left < 0.4


# What it reads


def encoded(backbone: Backbone, start: SoftPrompt) -> list[TrainingExample]:
    texts = [
        replace(encode_example(backbone, prompt, "", start), weight=0.0, labelled=False) for prompt in UNLABELLED[:2]
    ]
    return [*(encode_example(backbone, *example, start) for example in EXAMPLES), *texts]


def test_the_state_is_the_one_that_predicts_the_first_token(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    store, examples = PrefixStore(tiny_backbone), encoded(tiny_backbone, start)
    with torch.no_grad():
        loss, states = answer_loss_and_states(store, examples)
        expected = tiny_backbone.model.get_output_embeddings()(states)
        logits = torch.split(answer_logits(store, examples), [len(example.answer) for example in examples])
        assert torch.allclose(torch.stack([own[0] for own in logits]), expected, atol=1e-4)
        # Unlabelled texts add nothing to the loss.
        assert float(loss) == pytest.approx(float(answer_loss(store, examples[:-2])[0]), rel=1e-5)


def test_the_state_is_the_same_above_cached_layers(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    top = kv_from_text_twin(tiny_backbone, "domain", "Be brief.", (), start.length).with_trained_layers(1)
    store, examples = PrefixStore(tiny_backbone), encoded(tiny_backbone, top)
    with torch.no_grad():
        _, whole = answer_loss_and_states(store, examples)
        _, split = answer_loss_and_states(store, with_lower_states(store, examples, 1))
    assert torch.allclose(whole, split, atol=1e-4)


# Runs


def adversarial(
    backbone: Backbone,
    start: SoftPrompt,
    data: MethodData = OWN,
    *,
    folder: Path | None = None,
    kill_at: int | None = None,
    log: Path | None = None,
    **changed: Any,
) -> TrainResult:
    config = configured(**{"method": "adversarial", **changed})
    return train(
        PrefixStore(backbone), start, EXAMPLES, DEV, config, folder=folder, log=log, on_step=killer(kill_at), data=data
    )


def test_a_run_learns_and_differs_by_its_weight(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    log = tmp_path / "log.jsonl"
    result = adversarial(tiny_backbone, start, log=log, epochs=6, adversarial_weight=1.0)
    less = adversarial(tiny_backbone, start, epochs=6, adversarial_weight=0.01)
    assert result.dev_loss < result.start_loss
    assert not torch.equal(result.soft_prompt.vectors, less.soft_prompt.vectors)
    assert set(result.soft_prompt.tensors()) == set(start.tensors())
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    logged = [line["domain_accuracy"] for line in lines if "step" in line]
    assert logged == list(result.domain_accuracies)
    assert len(logged) == len(result.losses)


def test_with_a_vanishing_weight_it_is_plain_training(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    plain = train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, configured())
    nearly = adversarial(tiny_backbone, start, adversarial_weight=1e-12)
    assert nearly.losses == pytest.approx(plain.losses, rel=1e-3)
    assert torch.allclose(nearly.soft_prompt.vectors, plain.soft_prompt.vectors, atol=2e-3)


@pytest.mark.parametrize("kill_at", [14, 19])
def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, kill_at: int
) -> None:
    whole = adversarial(tiny_backbone, start, adversarial_weight=1.0)
    with pytest.raises(Killed):
        adversarial(tiny_backbone, start, adversarial_weight=1.0, folder=tmp_path, kill_at=kill_at)
    with safe_open(str(tmp_path / FILE), framework="pt") as file:
        names = set(file.keys())
    assert {"trained.adversary.hidden", "exp_avg.adversary.out", "step.adversary.out_bias"} <= names
    result = adversarial(tiny_backbone, start, adversarial_weight=1.0, folder=tmp_path)
    assert result.resumed
    assert same_bits(result, whole)
    assert result.domain_accuracies == whole.domain_accuracies


def test_the_size_of_a_micro_batch_changes_rounding_alone(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    whole = adversarial(tiny_backbone, start, adversarial_weight=1.0)
    one = adversarial(tiny_backbone, start, adversarial_weight=1.0, micro_batch=1)
    assert one.losses == pytest.approx(whole.losses, rel=1e-3)


def test_labelled_texts_of_other_domains_are_trained_on(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    own = [0] * len(EXAMPLES)
    other = [task("A ticket is 3.", "How much?", "It is 3."), task("No dogs.", "Dogs?", "No.")]
    data = MethodData(labelled=other, domains=[*own, 1, 2])
    result = adversarial(tiny_backbone, start, data, adversarial_weight=1.0)
    # Seven examples in batches of two.
    assert len(result.losses) == 4 * 3
    assert result.dev_loss < result.start_loss


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (MethodData(), "0 domains of the examples"),
        (MethodData(domains=[1, 1]), "2 domains of the examples"),
        (MethodData(domains=[0] * 5, unlabelled=UNLABELLED), "1 domains to tell apart"),
    ],
)
def test_a_run_without_two_domains_is_refused(
    tiny_backbone: Backbone, start: SoftPrompt, data: MethodData, found: str
) -> None:
    with pytest.raises(TrainingError, match=f"{found} for the method 'adversarial'"):
        adversarial(tiny_backbone, start, data)


def test_other_unlabelled_texts_are_another_run(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    with pytest.raises(Killed):
        adversarial(tiny_backbone, start, folder=tmp_path, kill_at=15)
    fewer = replace(OWN, unlabelled=UNLABELLED[:2])
    assert not adversarial(tiny_backbone, start, fewer, folder=tmp_path).resumed

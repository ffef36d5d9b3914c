"""What a method needs besides the examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prompts import RenderedPrompt
from soft_prompt.errors import TrainingError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.tokens.spans import TokenizedPrompt
from soft_prompt.training.config import Method
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.teacher import TeacherTargets

ModelInput = RenderedPrompt | TokenizedPrompt
PromptAndAnswer = tuple[ModelInput, str]


@dataclass(frozen=True)
class MethodData:
    """Each method reads its own part; the others are empty.

    Attributes:
        groups: for `reptile` and, on several domains, `shared`: the number of each example's domain, from 0.
        replayed: for `replay` and `weighted-replay`: examples of the source domains.
        weights: for `weighted-replay`: the weight of each of them, 1 on average.
        sources: for `mixture`: soft prompts like the start, whose mean is where training starts.
        teacher: for `distillation`: the teacher's distributions for each example; None where there are none.
        labelled: for `adversarial`: examples of other domains, which are trained on like the own ones.
        domains: for `adversarial`: the number of the domain of each own example, then of each of `labelled`.
        unlabelled: for `adversarial`: prompts without an answer, all of domain 0.
    """

    groups: Sequence[int] = ()
    replayed: Sequence[PromptAndAnswer] = ()
    weights: Sequence[float] = ()
    sources: Sequence[SoftPrompt] = ()
    teacher: Sequence[TeacherTargets | None] = ()
    labelled: Sequence[PromptAndAnswer] = ()
    domains: Sequence[int] = ()
    unlabelled: Sequence[ModelInput] = ()

    def require(self, method: Method, examples: int) -> None:
        """Refuse a method without what it needs.

        Raises:
            TrainingError: if a part is missing, or has another size than expected.
        """
        needs: dict[Method, tuple[str, int, int]] = {
            "reptile": ("groups of the examples", len(self.groups), examples),
            "adversarial": ("domains of the examples", len(self.domains), examples),
            "distillation": ("distributions of a teacher", len(self.teacher), examples),
            "weighted-replay": ("weights of the replayed examples", len(self.weights), max(1, len(self.replayed))),
            "replay": ("examples to replay", min(1, len(self.replayed)), 1),
            "mixture": ("soft prompts to mix", min(2, len(self.sources)), 2),
        }
        what, found, expected = needs.get(method, ("", 0, 0))
        if method == "adversarial" and found == expected:
            apart = {*self.domains} | ({0} if self.unlabelled else set())
            what, found, expected = "domains to tell apart", min(2, len(apart)), 2
        if found != expected:
            raise TrainingError(
                found=f"{found} {what} for the method {method!r}",
                expected=f"{'at least ' if method in ('replay', 'mixture', 'adversarial') else ''}{expected}",
                next_step="pass them in MethodData, or train with method='plain'",
            )


def with_method_data(examples: Sequence[TrainingExample], data: MethodData) -> list[TrainingExample]:
    """The examples with their groups, their teacher's distributions and their domains, where there are any."""
    groups, teacher, domains = data.groups, data.teacher, data.domains
    return [
        replace(
            example,
            group=groups[number] if groups else None,
            teacher=teacher[number] if teacher else None,
            domain=domains[number] if domains else 0,
        )
        for number, example in enumerate(examples)
    ]


def pool_of(data: MethodData, encode: Callable[[PromptAndAnswer], TrainingExample]) -> list[TrainingExample]:
    """What the steps add to their batches: the replayed examples with their weights, or the unlabelled texts."""
    if data.unlabelled:
        # An empty answer is the end token alone: the state before it is the one that predicts a label.
        return [replace(encode((prompt, "")), weight=0.0, labelled=False) for prompt in data.unlabelled]
    weights = data.weights or [1.0] * len(data.replayed)
    return [replace(encode(one), weight=weight) for one, weight in zip(data.replayed, weights, strict=True)]

"""What a method needs besides the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prompts import RenderedPrompt
from soft_prompt.errors import TrainingError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.tokens.spans import TokenizedPrompt
from soft_prompt.training.config import Method
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.teacher import TeacherTargets

PromptAndAnswer = tuple[RenderedPrompt | TokenizedPrompt, str]


@dataclass(frozen=True)
class MethodData:
    """Each method reads its own part; the others are empty.

    Attributes:
        groups: for `reptile` and, on several domains, `shared`: the number of each example's domain, from 0.
        replayed: for `replay` and `weighted-replay`: examples of the source domains.
        weights: for `weighted-replay`: the weight of each of them, 1 on average.
        sources: for `mixture`: soft prompts like the start, whose mean is where training starts.
        teacher: for `distillation`: the teacher's distributions for each example; None where there are none.
    """

    groups: Sequence[int] = ()
    replayed: Sequence[PromptAndAnswer] = ()
    weights: Sequence[float] = ()
    sources: Sequence[SoftPrompt] = ()
    teacher: Sequence[TeacherTargets | None] = ()

    def require(self, method: Method, examples: int) -> None:
        """Refuse a method without what it needs.

        Raises:
            TrainingError: if a part is missing, or has another size than expected.
        """
        needs: dict[Method, tuple[str, int, int]] = {
            "reptile": ("domains of the examples", len(self.groups), examples),
            "distillation": ("distributions of a teacher", len(self.teacher), examples),
            "weighted-replay": ("weights of the replayed examples", len(self.weights), max(1, len(self.replayed))),
            "replay": ("examples to replay", min(1, len(self.replayed)), 1),
            "mixture": ("soft prompts to mix", min(2, len(self.sources)), 2),
        }
        what, found, expected = needs.get(method, ("", 0, 0))
        if found != expected:
            raise TrainingError(
                found=f"{found} {what} for the method {method!r}",
                expected=f"{'at least ' if method in ('replay', 'mixture') else ''}{expected}",
                next_step="pass them in MethodData, or train with method='plain'",
            )


def with_method_data(
    examples: Sequence[TrainingExample], groups: Sequence[int], teacher: Sequence[TeacherTargets | None]
) -> list[TrainingExample]:
    """The examples with their groups and their teacher's distributions, where there are any."""
    result = list(examples)
    for number, example in enumerate(examples):
        group = groups[number] if groups else None
        result[number] = replace(example, group=group, teacher=teacher[number] if teacher else None)
    return result

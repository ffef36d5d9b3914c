"""One tokenised training example."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from prompts import RenderedPrompt
from soft_prompt.errors import TrainingError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.encode import encode_prompt
from soft_prompt.rows.row import Attention, Row
from soft_prompt.tokens.spans import TokenizedPrompt
from soft_prompt.training.teacher import TeacherTargets


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A prompt and its target answer.

    Attributes:
        row: the encoded prompt.
        answer: token ids of the answer, the end token included.
        lower_layers: number of frozen lower layers whose output is cached, so that training starts above them.
        lower_states: this output, `[tokens, hidden]`, in the backbone's dtype and CPU memory, without the tokens of the
            cached prefix.
        weight: factor of its tokens in the loss.
        group: number of its domain, for the methods that train on several.
        teacher: what a teacher's distributions are at the answer.
        domain: for `adversarial`: number of its domain; 0 is the one that the unlabelled texts are of.
        labelled: whether its answer is learned. An unlabelled text has the end token as its answer, and the weight 0.
    """

    row: Row
    answer: tuple[int, ...]
    lower_layers: int = 0
    lower_states: Tensor | None = field(default=None, compare=False)
    weight: float = 1.0
    group: int | None = None
    teacher: TeacherTargets | None = field(default=None, compare=False)
    domain: int = 0
    labelled: bool = True

    @property
    def full(self) -> Row:
        """The prompt followed by the answer; its last token is only predicted, so it is left out."""
        return self.row.followed_by(self.answer[:-1]) if len(self.answer) > 1 else self.row

    def with_soft_prompt(self, soft_prompt: SoftPrompt) -> TrainingExample:
        """The example with another soft prompt in the slot of that name."""
        return replace(self, row=self.row.with_soft_prompt(soft_prompt))


def encode_example(
    backbone: Backbone,
    prompt: RenderedPrompt | TokenizedPrompt,
    answer: str,
    soft_prompt: SoftPrompt,
    attention: Attention = "exact",
) -> TrainingExample:
    """Encode a prompt, which must have the slot of the soft prompt, and its answer."""
    row = encode_prompt(backbone, prompt, {soft_prompt.slot: soft_prompt}, attention)
    if soft_prompt not in row.suffix:
        raise TrainingError(
            found=f"a prompt without the soft slot {soft_prompt.slot!r}",
            expected=f"the slot {{{soft_prompt.slot}}} in a message of the template",
            next_step="put the slot into the template, or choose another template in domain.yaml",
        )
    return TrainingExample(row, (*backbone.encode_text(answer), backbone.end_id))

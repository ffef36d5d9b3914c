"""The settings of a training run.

`TrainConfig`, the `train:` section of domain.yaml and the options of `softgraft train` take their settings, defaults
and descriptions from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from soft_prompt.errors import TrainingError

# AdamW fails with a rate that fp32 cannot hold. JSON, in which every setting is recorded, has no infinity.
LearningRate = Annotated[float, Field(ge=0, lt=1e30)]
Method = Literal["plain", "replay", "weighted-replay", "mixture", "shared", "distillation", "adversarial", "reptile"]
# The settings that belong to some methods alone.
METHOD_SETTINGS: Mapping[str, tuple[Method, ...]] = {
    "replay_share": ("replay", "weighted-replay"),
    "replay_anneal": ("replay", "weighted-replay"),
    "weight_temperature": ("weighted-replay",),
    "difference_rank": ("shared",),
    "teacher_share": ("distillation",),
    "teacher_temperature": ("distillation",),
    "adversarial_weight": ("adversarial",),
    "inner_steps": ("reptile",),
    "outer_rate": ("reptile",),
}


class GraftOptions(BaseModel):
    """What is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["embedding", "kv", "adapter"] = Field(
        default="kv", description="What is trained: vectors, or an adapter alone behind the text twin."
    )
    length: int | None = Field(
        default=32,
        ge=1,
        description="Positions of the soft prompt; `null` in domain.yaml for the length of the text twin, which the "
        "kind `adapter` always has.",
    )
    adapter: Literal["none", "lora", "ia3"] = Field(
        default="lora", description="Weights beside the frozen ones: none, low-rank matrices, or scales."
    )
    adapter_rank: int = Field(default=4, ge=1, le=64, description="Rank of the matrices of `lora`.")


class TrainingOptions(BaseModel):
    """How it is trained: the settings that `TrainConfig` and domain.yaml share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=2, ge=1, description="Maximum number of epochs.")
    min_steps: int = Field(
        default=60,
        ge=1,
        description="Minimum number of steps: with few examples, training makes as many epochs as that takes, and "
        "`epochs` and `patience` end it no earlier.",
    )
    batch_size: int = Field(default=8, ge=1, description="Examples per step.")
    learning_rate: LearningRate = Field(
        default=1e-2, description="Peak learning rate of the vectors; AdamW without weight decay."
    )
    adapter_learning_rate: LearningRate = Field(default=1e-3, description="Peak learning rate of the adapter.")
    warmup_steps: int = Field(default=10, ge=0, description="Steps of linear warm-up before the cosine decay.")
    clip: float = Field(default=1.0, gt=0, lt=1e30, description="Maximum norm of the gradient.")
    patience: int = Field(default=2, ge=1, description="Epochs without a better dev loss after which training stops.")
    # What PyTorch's generators take. The help of a command shows `ge`, which would be a very long number here.
    seed: int = Field(default=0, gt=-(2**63) - 1, lt=2**64, description="Seed of the order of examples.")
    layers: int | None = Field(
        default=None,
        ge=1,
        description="Train only the last N layers of the kinds `kv` and `adapter`. No gradient runs through the "
        "layers below. All layers by default.",
    )
    micro_batch: int | None = Field(
        default=None,
        ge=1,
        description="Examples per forward pass; their gradients add up to those of a step. By default as many as fit "
        "into memory.",
    )
    method: Method = Field(
        default="plain",
        description="How it is trained; see docs/methods.md. `replay`: batches also hold examples of the source "
        "domains. `weighted-replay`: these count by their likelihood. `mixture`: starts from a learned mean of several "
        "sources. `shared`: only a low-rank difference to the start. `distillation`: also learns the distributions of "
        "the start, which is shown the right passage. `adversarial`: for classification, hides from which of several "
        "domains a text is. `reptile`: only with `softgraft source`.",
    )
    replay_share: float | None = Field(
        default=None, gt=0, lt=1, description="Share of each batch and of the loss that is replayed; 0.25 by default."
    )
    replay_anneal: bool | None = Field(
        default=None, description="Whether this share falls to 0 at the last step; false by default."
    )
    weight_temperature: float | None = Field(
        default=None,
        gt=0,
        lt=1e30,
        description="Temperature of the weights of `weighted-replay`, in nats per token; 1 by default.",
    )
    difference_rank: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Rank of the difference of `shared`; 1 by default, which is all that the kind `embedding` has.",
    )
    teacher_share: float | None = Field(
        default=None, gt=0, le=1, description="Share of the teacher in the loss of `distillation`; 0.5 by default."
    )
    teacher_temperature: float | None = Field(
        default=None, gt=0, lt=1e30, description="Temperature of `distillation`; 2 by default."
    )
    adversarial_weight: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Weight of the reversed gradient of `adversarial` at the end of the run; 0.1 by default.",
    )
    inner_steps: int | None = Field(
        default=None, ge=1, description="Steps of `reptile` on one group of questions; 4 by default."
    )
    outer_rate: float | None = Field(
        default=None, gt=0, le=1, description="Share of these steps that `reptile` keeps; 0.5 by default."
    )

    @model_validator(mode="after")
    def _refuse_settings_of_other_methods(self) -> Self:
        for name, methods in METHOD_SETTINGS.items():
            if getattr(self, name) is not None and self.method not in methods:
                raise ValueError(f"{name} with `method: {self.method}`; expected `method: {' or '.join(methods)}`")
        return self


class TrainConfig(TrainingOptions):
    """Settings of a run. All of them are recorded with the soft prompt.

    Raises:
        TrainingError: if a setting is unknown or out of range; all problems are listed.
    """

    attention: Literal["exact", "block"] = Field(
        default="exact", description="Attention between passages, in training and wherever the soft prompt is used."
    )
    checkpoint_steps: int = Field(default=10, ge=1, description="Steps between two checkpoints.")

    @model_validator(mode="wrap")
    @classmethod
    def _report_problems(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            problems = [
                (f"{'.'.join(map(str, e['loc']))}={e['input']!r}: " if e["loc"] else "")
                + e["msg"].removeprefix("Value error, ")
                for e in error.errors()
            ]
            raise TrainingError(
                found="; ".join(problems),
                expected="the settings of soft_prompt.TrainConfig, within their limits",
                next_step="correct the settings under `train:` in domain.yaml",
            ) from error

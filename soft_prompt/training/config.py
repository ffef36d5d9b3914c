"""The settings of a training run.

`TrainConfig`, the `train:` section of domain.yaml and the options of `softgraft train` take their settings, defaults
and descriptions from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from soft_prompt.errors import TrainingError

# AdamW fails with a rate that fp32 cannot hold.
LearningRate = Annotated[float, Field(ge=0, lt=1e30)]


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
    seed: int = Field(default=0, description="Seed of the order of examples.")
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
            problems = [f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors()]
            raise TrainingError(
                found="; ".join(problems),
                expected="the settings of soft_prompt.TrainConfig, within their limits",
                next_step="correct the settings under `train:` in domain.yaml",
            ) from error

"""The settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from soft_prompt.errors import TrainingError
from soft_prompt.rows.row import Attention


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of a run; every one of them is recorded with the soft prompt.

    Attributes:
        epochs: at most so many passes over the examples.
        batch_size: examples a step.
        learning_rate: peak, for AdamW without weight decay; of the vectors, so not used by the kind `adapter`.
        adapter_learning_rate: the same for the weights of an adapter, where the start has one, and of the network that
            reparameterises.
        warmup_steps: linear warm-up before the cosine.
        clip: largest norm of the gradient.
        patience: stop after so many epochs without a better loss on dev.
        attention: whether passages see one another, here and wherever the soft prompt is used.
        seed: of the order of examples and of random lengths.
        checkpoint_steps: write the run's state every so many steps.
        layers: train only the last so many layers of a `kv` soft prompt, whose layers below keep the start's keys and
            values, or of an adapter alone, which must stand beside no others; no gradient runs through those below.
            None trains all.
        reparameterise: train the vectors through a small network that is thrown away afterwards.
        random_length: each step trains only the first few positions, a random number of them, so that any shorter
            soft prompt works afterwards (`SoftPrompt.shortened`).
        micro_batch: examples that run through the backbone at once; their gradients add up to those of a step. None
            takes as many as memory has room for.
    """

    epochs: int = 6
    batch_size: int = 8
    learning_rate: float = 2e-2
    adapter_learning_rate: float = 1e-3
    warmup_steps: int = 10
    clip: float = 1.0
    patience: int = 2
    attention: Attention = "exact"
    seed: int = 0
    checkpoint_steps: int = 10
    layers: int | None = None
    reparameterise: bool = False
    random_length: bool = False
    micro_batch: int | None = None

    def __post_init__(self) -> None:
        whole = ("epochs", "batch_size", "patience", "checkpoint_steps", "layers", "micro_batch")
        given = {name: value for name in whole if (value := getattr(self, name)) is not None}
        problems = [f"{name}={value}" for name, value in given.items() if value < 1]
        problems += [f"warmup_steps={self.warmup_steps}"] if self.warmup_steps < 0 else []
        # Beyond fp32 the optimiser itself fails.
        rates = ("learning_rate", "adapter_learning_rate", "clip")
        problems += [f"{n}={getattr(self, n)}" for n in rates if not 0 <= getattr(self, n) < 1e30]
        if problems:
            raise TrainingError(
                found=", ".join(problems),
                expected="whole numbers of at least 1, a warm-up of at least 0, and finite rates of at least 0",
                next_step="correct the settings under `train:` in domain.yaml",
            )

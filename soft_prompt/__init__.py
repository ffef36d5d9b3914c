"""Soft prompts for a frozen backbone: training at the cost of the answer, saving, and generation.

Usable alone, without LangChain or an index. Names load on first use, so importing the package costs nothing.

A whole program: the embedded model learns the form of a bank's answers and keeps to it for a fee that it reads for the
first time.

>>> from prompts import SoftSegment
>>> from soft_prompt import Backbone, Decoding, PrefixStore, TrainConfig
>>> from soft_prompt import encode_prompt, from_text_twin, generate, prompt_of, train

A prompt has a soft slot wherever one wants it. What stands before it runs through the model once, in training and in
serving, so the slot goes behind the passage.

>>> def ask(passage, question):
...     return prompt_of("Answer from this text. ", passage, SoftSegment("bank"), user=question)
>>> fees = [("transfer", "12 pounds"), ("new card", "5 pounds"), ("copy of a statement", "3 pounds")]
>>> tasks = [(ask(f"Fee for a {of}: {fee}.", f"What does a {of} cost?"), f"FEE: {fee}") for of, fee in fees]

The vectors start as the embeddings of a text, their text twin, and are trained on prompts and their answers.

>>> backbone = Backbone.load()
>>> store = PrefixStore(backbone)
>>> start = from_text_twin(backbone, "bank", "State the fee and nothing else.")
>>> result = train(store, start, tasks, tasks, TrainConfig(epochs=6, batch_size=3, warmup_steps=2))
>>> result.dev_loss < 0.5 * result.start_loss
True

The trained prompt fills the slot of a prompt that it has not seen.

>>> row = encode_prompt(backbone, ask("Fee for a loan: 40 pounds.", "What is the fee?"), {"bank": result.soft_prompt})
>>> reply, = generate(store, [row], Decoding(max_tokens=12))
>>> reply.text
'FEE: 40 pounds'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soft_prompt.adapter import Adapter, initial_adapter
    from soft_prompt.artifact import Manifest, Scores, load_soft_prompt, read_manifest, save_soft_prompt
    from soft_prompt.backbone import Backbone, weights_checksum
    from soft_prompt.constraint import Constraint
    from soft_prompt.continuations import score_continuations
    from soft_prompt.encode import Attention, Row, SlotFill, encode_prompt
    from soft_prompt.errors import (
        ArtifactError,
        BackboneError,
        ConstraintError,
        ContextError,
        DivergedError,
        SoftPromptError,
        TrainingError,
    )
    from soft_prompt.generation import Delta, Reply, generate, stream
    from soft_prompt.loss_curve import save_loss_curve
    from soft_prompt.plain_prompt import prompt_of
    from soft_prompt.prefix_store import PrefixStore
    from soft_prompt.probe import positions_can_move, require_movable_positions
    from soft_prompt.prompt import SoftPrompt, adapter_prompt, from_text_twin, kv_from_text_twin
    from soft_prompt.sampling import DecodeWeights, Decoding
    from soft_prompt.scaling import initial_scaling
    from soft_prompt.strength import at_strength
    from soft_prompt.train_config import TrainConfig
    from soft_prompt.training import TrainResult, TrainStep, train

_HOME = {
    "Adapter": "adapter",
    "ArtifactError": "errors",
    "Attention": "encode",
    "Backbone": "backbone",
    "BackboneError": "errors",
    "Constraint": "constraint",
    "ConstraintError": "errors",
    "ContextError": "errors",
    "DecodeWeights": "sampling",
    "Decoding": "sampling",
    "Delta": "generation",
    "DivergedError": "errors",
    "Manifest": "artifact",
    "PrefixStore": "prefix_store",
    "Reply": "generation",
    "Row": "encode",
    "Scores": "artifact",
    "SlotFill": "encode",
    "SoftPrompt": "prompt",
    "SoftPromptError": "errors",
    "TrainConfig": "train_config",
    "TrainResult": "training",
    "TrainStep": "training",
    "TrainingError": "errors",
    "adapter_prompt": "prompt",
    "at_strength": "strength",
    "encode_prompt": "encode",
    "from_text_twin": "prompt",
    "generate": "generation",
    "initial_adapter": "adapter",
    "initial_scaling": "scaling",
    "kv_from_text_twin": "prompt",
    "load_soft_prompt": "artifact",
    "positions_can_move": "probe",
    "prompt_of": "plain_prompt",
    "read_manifest": "artifact",
    "require_movable_positions": "probe",
    "save_loss_curve": "loss_curve",
    "save_soft_prompt": "artifact",
    "score_continuations": "continuations",
    "stream": "generation",
    "train": "training",
    "weights_checksum": "backbone",
}

__all__ = [
    "Adapter",
    "ArtifactError",
    "Attention",
    "Backbone",
    "BackboneError",
    "Constraint",
    "ConstraintError",
    "ContextError",
    "DecodeWeights",
    "Decoding",
    "Delta",
    "DivergedError",
    "Manifest",
    "PrefixStore",
    "Reply",
    "Row",
    "Scores",
    "SlotFill",
    "SoftPrompt",
    "SoftPromptError",
    "TrainConfig",
    "TrainResult",
    "TrainStep",
    "TrainingError",
    "adapter_prompt",
    "at_strength",
    "encode_prompt",
    "from_text_twin",
    "generate",
    "initial_adapter",
    "initial_scaling",
    "kv_from_text_twin",
    "load_soft_prompt",
    "positions_can_move",
    "prompt_of",
    "read_manifest",
    "require_movable_positions",
    "save_loss_curve",
    "save_soft_prompt",
    "score_continuations",
    "stream",
    "train",
    "weights_checksum",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'soft_prompt' has no attribute {name!r}")
    return getattr(import_module(f"soft_prompt.{_HOME[name]}"), name)

"""Soft prompts for a frozen backbone: training at the cost of the answer, saving, and generation.

Usable alone, without LangChain or an index. Names load on first use, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soft_prompt.adapter import Adapter, initial_adapter
    from soft_prompt.artifact import Manifest, Scores, load_soft_prompt, read_manifest, save_soft_prompt
    from soft_prompt.backbone import Backbone, weights_checksum
    from soft_prompt.encode import Attention, Row, SlotFill, encode_prompt
    from soft_prompt.errors import ArtifactError, BackboneError, ContextError, SoftPromptError, TrainingError
    from soft_prompt.generation import Delta, Reply, generate, stream
    from soft_prompt.loss_curve import save_loss_curve
    from soft_prompt.prefix_store import PrefixStore
    from soft_prompt.prompt import SoftPrompt, from_text_twin, kv_from_text_twin
    from soft_prompt.sampling import DecodeWeights, Decoding
    from soft_prompt.training import TrainConfig, TrainResult, TrainStep, train

_HOME = {
    "Adapter": "adapter",
    "ArtifactError": "errors",
    "Attention": "encode",
    "Backbone": "backbone",
    "BackboneError": "errors",
    "ContextError": "errors",
    "DecodeWeights": "sampling",
    "Decoding": "sampling",
    "Delta": "generation",
    "Manifest": "artifact",
    "PrefixStore": "prefix_store",
    "Reply": "generation",
    "Row": "encode",
    "Scores": "artifact",
    "SlotFill": "encode",
    "SoftPrompt": "prompt",
    "SoftPromptError": "errors",
    "TrainConfig": "training",
    "TrainResult": "training",
    "TrainStep": "training",
    "TrainingError": "errors",
    "encode_prompt": "encode",
    "from_text_twin": "prompt",
    "generate": "generation",
    "initial_adapter": "adapter",
    "kv_from_text_twin": "prompt",
    "load_soft_prompt": "artifact",
    "read_manifest": "artifact",
    "save_loss_curve": "loss_curve",
    "save_soft_prompt": "artifact",
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
    "ContextError",
    "DecodeWeights",
    "Decoding",
    "Delta",
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
    "encode_prompt",
    "from_text_twin",
    "generate",
    "initial_adapter",
    "kv_from_text_twin",
    "load_soft_prompt",
    "read_manifest",
    "save_loss_curve",
    "save_soft_prompt",
    "stream",
    "train",
    "weights_checksum",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'soft_prompt' has no attribute {name!r}")
    return getattr(import_module(f"soft_prompt.{_HOME[name]}"), name)

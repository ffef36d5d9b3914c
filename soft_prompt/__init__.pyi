from .artifact.artifact import load_soft_prompt, save_soft_prompt
from .artifact.manifest import DevScores, Manifest, TrainedOn, read_manifest
from .errors import (
    ArtifactError,
    BackboneError,
    ConstraintError,
    ContextError,
    DivergedError,
    SoftPromptError,
    TrainingError,
)
from .generation.continuations import score_continuations
from .generation.generation import generate, stream
from .graft.adapter import Adapter, initial_adapter, initial_scaling
from .graft.prompt import SoftPrompt
from .graft.text_twin import adapter_prompt, at_strength, from_text_twin, kv_from_text_twin
from .grammar.constraint import Constraint
from .model.backbone import Backbone, weights_checksum
from .model.optimized import DecodeWeights
from .positions.probe import positions_can_move, require_movable_positions
from .replies.reply import Delta, Reply
from .replies.sampling import Decoding
from .rows.encode import encode_prompt, prompt_of
from .rows.prefix_store import PrefixStore
from .rows.row import Attention, Row, SlotFill
from .tokens.spans import TokenizedPrompt, tokenize_prompt
from .training.config import TrainConfig
from .training.result import TrainResult, TrainStep, save_loss_curve
from .training.training import train

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
    "DevScores",
    "DivergedError",
    "Manifest",
    "PrefixStore",
    "Reply",
    "Row",
    "SlotFill",
    "SoftPrompt",
    "SoftPromptError",
    "TokenizedPrompt",
    "TrainConfig",
    "TrainResult",
    "TrainStep",
    "TrainedOn",
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
    "tokenize_prompt",
    "train",
    "weights_checksum",
]

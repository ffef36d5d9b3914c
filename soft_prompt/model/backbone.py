"""The frozen language model and its tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.model.device import require_device
from soft_prompt.model.model_folder import check_model_folder, load_error
from soft_prompt.model.tokenizer import context_length
from soft_prompt.model.weights import EMBEDDED, GGUF_SHA256, backbone_folder, no_progress_bars, weights_digest
from soft_prompt.tokens.chat_tokenizer import ChatTokenizer


@dataclass(frozen=True, eq=False)
class Backbone(ChatTokenizer):
    """A frozen language model, decoder-only or encoder-decoder. Nothing ever writes to its weights.

    Make one with `Backbone.load`, or wrap a model you already have.

    Attributes:
        id: its name, such as `embedded` or `Qwen/Qwen3-0.6B`.
        digest: SHA-256 of the weights.
        model: a Transformers model in evaluation mode, without gradients.
        tokenizer: its fast tokenizer.

    Raises:
        BackboneError: if the model has a recurrent state instead of keys and values.
    """

    id: str
    digest: str
    model: Any
    tokenizer: Any

    def __post_init__(self) -> None:
        # Transformers sets this for models such as Mamba, whose past is more than keys and values.
        if getattr(self.model, "_is_stateful", False):
            raise BackboneError(
                found=f"the backbone {self.id!r} ({self.model.config.model_type}) has layers with a recurrent state",
                expected="attention in every layer, whose keys and values can be stored",
                next_step="choose another backbone in domain.yaml",
            )
        self.model.eval()
        self.model.requires_grad_(False)

    @classmethod
    def load(cls, name: str = EMBEDDED, *, dtype: torch.dtype | None = None, device: str = "cpu") -> Backbone:
        """Load a backbone.

        Args:
            name: `embedded`, a local folder, or a Hugging Face model id.
            dtype: dtype of the weights in memory; by default the fastest one of the device.
            device: a PyTorch device, such as `cpu`, `cuda:1` or `mps`.

        Raises:
            BackboneError: if the backbone does not exist, is damaged, or is not a supported language model, or if this
                machine has no such device.
        """
        require_device(device)
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        folder = backbone_folder(name)
        if name != EMBEDDED:
            check_model_folder(folder)
        try:
            with no_progress_bars():
                # Without the argument, Transformers asks on standard input whether it may run the folder's code.
                config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
                auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
                model = auto.from_pretrained(
                    folder, dtype=dtype or fast_dtype(device), use_safetensors=True, trust_remote_code=False
                ).to(device)
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # settings of a foreign model may make Transformers raise anything
            expected = "a causal or encoder-decoder language model that Transformers reads, with its tokenizer"
            raise load_error(f"the backbone {name!r}", expected, error) from error
        digest = GGUF_SHA256 if name == EMBEDDED else weights_digest(folder)
        return cls(id=name, digest=digest, model=model, tokenizer=tokenizer)

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def hidden_size(self) -> int:
        """Width of an embedding."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def encoder_decoder(self) -> bool:
        """Whether an encoder reads the prompt, in both directions, and a decoder writes the answer (T5)."""
        return bool(self.model.config.is_encoder_decoder)

    def require_decoder_only(self, what: str) -> None:
        """Raise a `BackboneError` for `what`, a noun phrase, if the backbone is an encoder-decoder."""
        if self.encoder_decoder:
            raise BackboneError(
                found=f"{what} on the encoder-decoder {self.id!r}, whose encoder reads in both directions",
                expected="a soft prompt of the kind `embedding` without an adapter, in `exact` attention",
                next_step="softgraft train DOMAIN --kind embedding --adapter none",
            )

    @property
    def context_length(self) -> int:
        """Length of the context in tokens (see `tokenizer.context_length`)."""
        return context_length(self.model.config)

    @cached_property
    def cache_layout(self) -> tuple[int, int, int]:
        """Number of layers, of key-value heads, and width of a head in the cache of a decoder-only model."""
        self.require_decoder_only("stored keys and values")
        with torch.no_grad():
            cache = self.model(input_ids=torch.tensor([[0]], device=self.device), use_cache=True).past_key_values
        keys = cache.layers[0].keys
        return len(cache.layers), int(keys.shape[1]), int(keys.shape[-1])

    @cached_property
    def tokenizer_hash(self) -> str:
        """SHA-256 of the tokenizer's own serialisation."""
        return hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()

    @cached_property
    def grammar_tokenizer(self) -> Any:
        """The tokenizer in llguidance's form, for constrained replies. Building it takes about a second.

        Raises:
            BackboneError: if llguidance does not support the tokenizer.
        """
        from llguidance import LLTokenizer

        try:
            return LLTokenizer(self.tokenizer.backend_tokenizer.to_str(), eos_token=sorted(self.end_ids))
        except (AttributeError, ValueError) as error:
            raise BackboneError(
                found=f"the tokenizer of the backbone {self.id!r} cannot follow a grammar: {error}",
                expected="a fast tokenizer of bytes (byte-level BPE, or SentencePiece with byte fallback)",
                next_step="choose another backbone, or leave out the constraint",
            ) from error

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Token ids that end an answer; a model may have several."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return frozenset(int(i) for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    @cached_property
    def end_id(self) -> int:
        """The token id that ends an answer in training: the one with which the chat template ends a message."""
        own = self.tokenizer.eos_token_id
        if not self.end_ids:
            raise BackboneError(
                found=f"the backbone {self.id!r} has no end-of-text token",
                expected="a tokenizer or generation config with an eos token",
                next_step="choose another backbone",
            )
        return int(own) if own is not None else min(self.end_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, without control tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Embeddings of token ids, `[tokens, hidden]`, in the backbone's dtype, without gradient."""
        with torch.no_grad():
            inputs = torch.tensor(list(ids), dtype=torch.int64, device=self.device)
            embedded: Tensor = self.model.get_input_embeddings()(inputs)
        return embedded


def weights_checksum(backbone: Backbone) -> str:
    """SHA-256 over every parameter and buffer in memory. Training leaves it unchanged."""
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fast_dtype(device: str | torch.device) -> torch.dtype:
    """`bfloat16` if the device multiplies in it, `float32` if it would only emulate it.

    A processor without AVX-512 converts every bf16 operand first: 256 tokens through SmolLM2-135M take 4.5 s in bf16
    and 0.8 s in float32 on 2 cores with AVX2 alone. A bf16 weight is exact in float32, so nothing is lost.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if kind == "cpu":
        # PyTorch's compiler makes the same check. Builds without oneDNN lack the operator.
        onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return torch.bfloat16 if onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    return torch.bfloat16

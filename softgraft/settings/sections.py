"""The sections of domain.yaml, except `train`. The descriptions of the fields are the text of docs/settings.md."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt, field_validator, model_validator

from retrieval.conversion.limits import DEFAULT_LIMITS, Limits
from retrieval.conversion.ocr.recognition import Recognition, missing_package
from retrieval.store.faiss_record import IndexChoice

_SECRET = re.compile(r"(^|_)(key|secret|password|credentials)$")

Auto = Literal["auto"]

# A domain with fewer questions in train and dev has the default evidence scale, which then refuses better.
MIN_OWN_SCALE = 40


# Larger numbers overflow in the libraries that get them, and mean nothing in any setting.
MAX_NUMBER = 2**31 - 1


def require_usable_number(value: Any) -> Any:
    """The value of a setting; raises ValueError if it is a number that is not finite, or beyond `MAX_NUMBER`."""
    if isinstance(value, (int, float)) and not abs(value) <= MAX_NUMBER:
        raise ValueError(f"Input should be a finite number of at most {MAX_NUMBER}")
    return value


class Settings(BaseModel):
    """Base of all sections: unknown keys are errors, values do not change, and numbers are of a usable size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    _require_usable_numbers = field_validator("*")(require_usable_number)


class RetrievalSettings(Settings):
    """How documents are split into passages and searched. After a change, run `softgraft ingest`."""

    passages: PositiveInt = Field(
        default=3, description="Maximum number of passages that the model reads for one question."
    )
    margin: float = Field(
        default=0.15,
        ge=0,
        description="A passage is left out if its score is lower than the best one's by more than this.",
    )
    evidence_tokens: PositiveInt = Field(default=320, description="Maximum number of tokens of all passages together.")
    passage_tokens: int = Field(
        default=72, ge=16, description="Maximum size of a passage, including its title and heading."
    )
    dense_weight: Auto | Annotated[float, Field(ge=0)] = Field(
        default="auto",
        description="Weight of the dense ranking (FAISS). `auto` is 1.0, or 0 for Chinese, Japanese and Korean with "
        "`encoder: minilm`, which does not read them; `softgraft ingest` chooses other weights if they are "
        "significantly better on the questions of train and dev.",
    )
    bm25_weight: Auto | Annotated[float, Field(ge=0)] = Field(
        default="auto",
        description="Weight of the keyword ranking (BM25). `auto` is 0.5, or 1.0 where `dense_weight` is 0; "
        "`softgraft ingest` may choose another weight, as for `dense_weight`.",
    )
    neighbours: int = Field(
        default=0,
        ge=0,
        le=2,
        description="Number of neighbouring passages on either side that are joined to each passage before the model "
        "reads it. 1 finds more answers in long documents; see docs/retrieval.md.",
    )
    reranker: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Cross-encoder (folder or Hugging Face id) that reorders the twelve best passages. None is "
        "included, and its benefit was not measured.",
    )
    index: IndexChoice | None = Field(
        default=None,
        description="Kind of FAISS index. `null` keeps the kind of the last `softgraft ingest --index`, initially "
        "`auto`.",
    )
    evidence_threshold: Auto | Annotated[float, Field(ge=0, le=1)] = Field(
        default="auto",
        description="A question whose evidence score is below this is refused; 0 refuses nothing. The score is a "
        "probability. `auto` is the threshold that refuses 5% of the answerable questions of train and dev, or, with "
        "fewer than 40 of them, the default scale's, 0.15.",
    )

    @model_validator(mode="after")
    def _require_a_ranking(self) -> Self:
        if self.dense_weight == 0 and self.bm25_weight == 0:
            raise ValueError("dense_weight and bm25_weight are both 0, so no passage is found; expected one above 0")
        return self


class IngestSettings(Settings):
    """Limits for reading one file, which links are followed, and whether pictures are read.

    A file beyond a limit is reported and left out.
    """

    file_mib: PositiveInt = Field(default=DEFAULT_LIMITS.file_mib, description="Maximum size of a file in MiB.")
    rows_mib: PositiveInt = Field(
        default=DEFAULT_LIMITS.rows_mib,
        description="Maximum size in MiB of a file with one document per row (JSONL, CSV).",
    )
    lines: PositiveInt = Field(default=DEFAULT_LIMITS.lines, description="Maximum number of lines of a document.")
    seconds: float = Field(
        default=DEFAULT_LIMITS.seconds,
        gt=0,
        description="Maximum time to convert a file, in seconds, and again for each page read by text recognition.",
    )
    memory_mib: PositiveInt = Field(
        default=DEFAULT_LIMITS.memory_mib, description="Maximum memory to convert a file, in MiB."
    )
    follow_links: bool = Field(
        default=False,
        description="Whether links in `docs/` that lead outside it are followed. By default they are reported and not "
        "read. Whoever can put a link there could otherwise make any file of this machine a document.",
    )

    ocr: Auto | bool = Field(
        default="auto",
        description="Whether scanned pages of a PDF are read by text recognition (OCR). `auto` reads them "
        'if it is installed (`pip install "softgraft[ocr]"`), and else reports them; `true` requires it. See '
        "docs/documents.md#scanned-pages.",
    )
    ocr_pages: PositiveInt = Field(
        default=200, description="Maximum number of pages of one file that are read by text recognition."
    )
    images: bool = Field(
        default=False,
        description="Whether image files (.png, .jpg, .tif) are documents, which text recognition reads. Off by "
        "default, because image files beside other documents are mostly illustrations.",
    )

    @model_validator(mode="after")
    def _require_ocr_for_images(self) -> Self:
        if self.images and self.ocr is False:
            raise ValueError("images: true needs text recognition; expected `ocr: auto` or `ocr: true` with it")
        return self

    def limits(self) -> Limits:
        """The limits of a file in the form that `retrieval` takes."""
        return Limits(**self.model_dump(exclude={"follow_links", "ocr", "ocr_pages", "images"}))

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `retrieval.ingest`."""
        return {"limits": self.limits(), "follow_links": self.follow_links, "recognition": self.recognition()}

    def recognition(self) -> Recognition | None:
        """How pictures are read, in the form that `retrieval` takes; None if they are not."""
        if self.ocr is False or (self.ocr == "auto" and not self.images and missing_package() is not None):
            return None
        return Recognition(self.ocr_pages, self.images)


class CacheSettings(Settings):
    """Limits of the cache of keys and values; 0 turns a cache off. See docs/cache.md."""

    memory_mib: int = Field(default=256, ge=0, description="Memory for the keys and values of passages, in MiB.")
    conversation_mib: int = Field(
        default=128, ge=0, description="Memory for the keys and values of recent conversations, in MiB."
    )
    disk_gib: float = Field(
        default=16,
        ge=0,
        description="Disk space for the keys and values of passages in `build/passages`, in GiB. At least 1 GiB of the "
        "disk always stays free.",
    )


class AnswerFileSettings(Settings):
    """How answers are generated."""

    max_tokens: PositiveInt | None = Field(
        default=64, description="Maximum length of an answer in tokens. `null` leaves it to a model behind an API."
    )
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        default=0.0,
        description="Sampling temperature; 0 is greedy decoding. `null` leaves it to a model behind an API.",
    )
    history_turns: int = Field(
        default=3, ge=0, description="Maximum number of earlier turns that the model reads; see docs/conversations.md."
    )
    history_tokens: int = Field(
        default=512, ge=0, description="Maximum number of tokens of the earlier turns together."
    )
    history_overflow: Literal["drop", "summarise"] = Field(
        default="drop", description="What happens to turns beyond these limits: the oldest are dropped, or summarised."
    )
    condense: Literal["auto", "off", "join", "model"] = Field(
        default="auto",
        description="How a follow-up question becomes a search query. `join` puts the previous question before it if "
        "that finds better evidence, `model` lets the backbone rewrite it, `off` searches for it as it is. `auto` is "
        "`join` for a local backbone and `model` for one behind an API.",
    )
    decode_weights: Literal["auto", "own", "int8"] = Field(
        default="own",
        description="Weights used for decoding: `own` as they are, or `int8` quantised, which requires bfloat16 on the "
        "CPU and takes half as much memory again. `auto` is `own`, which is at least as fast.",
    )
    form: Literal["auto", "generate", "extract", "quote", "both"] = Field(
        default="auto",
        description="What an answer consists of. `quote`: the best sentence of the evidence, verbatim, without a "
        "language model. `generate`: the backbone's own words. `both`: the backbone's words, then the quote. "
        "`extract`: sentences of the evidence that the backbone selects; only with a local backbone. `auto`: what was "
        "best on dev when the soft prompt was trained; without one, `quote`, and `generate` for a model behind an API. "
        "See docs/answers.md.",
    )
    quotes: int = Field(
        default=2,
        ge=1,
        le=4,
        description="Maximum number of sentences to quote. Those after the best one are quoted if they score almost "
        "as high.",
    )
    unsupported: Literal["auto", "quote", "mark", "keep"] = Field(
        default="auto",
        description="What happens to a generated sentence that the evidence does not support: `quote` replaces it by a "
        "quote, `mark` keeps it and marks the answer, `keep` keeps it. In each case the result says `supported: "
        "false`. `auto` is `quote` for a local backbone and `mark` for a model behind an API.",
    )
    strength: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the trained change that is applied: vectors are interpolated from their text twin, and "
        "the adapter's output is scaled. 0 is the text twin alone. A lower value changes the model less on general "
        "text; see docs/research/performance.md. Exports use the same strength.",
    )

    @model_validator(mode="after")
    def _leave_space_for_a_summary(self) -> Self:
        summary = self.max_tokens or 0
        if self.history_overflow == "summarise" and self.history_tokens < 2 * summary:
            raise ValueError(
                f"history_tokens: {self.history_tokens} is too small for a summary of up to {summary} tokens "
                f"(max_tokens) and as many tokens of turns; expected at least {2 * summary}"
            )
        return self


class RemoteSettings(Settings):
    """How a model behind an API is called; `null` is the default of the provider's package. See docs/models.md."""

    timeout_seconds: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Maximum time without a response from the server, in seconds."
    )
    max_retries: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Maximum number of retries.")
    options: dict[str, JsonValue] = Field(
        default={},
        description="Further arguments of the provider's LangChain chat model. Keys and passwords are refused: they "
        "are read from the environment.",
    )

    @model_validator(mode="after")
    def _refuse_secrets(self) -> Self:
        # The settings are written into reports.
        if secrets := [name for name in self.options if _SECRET.search(name.lower())]:
            raise ValueError(f"options hold {', '.join(secrets)}; keys are read from the environment alone")
        return self

    @field_validator("options")
    @classmethod
    def _require_finite_numbers(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(options, allow_nan=False)
        return options


class ClassificationSettings(Settings):
    """How labels are scored. Only with `task: classification`; see docs/tasks.md."""

    calibration: Literal["auto", "none", "contextual", "prior"] = Field(
        default="auto", description="How label likelihoods are corrected. `auto` is the method that is best on dev."
    )
    normalise: Literal["sum", "mean"] = Field(
        default="sum", description="Whether a label's score is the sum or the mean of its tokens' log likelihoods."
    )

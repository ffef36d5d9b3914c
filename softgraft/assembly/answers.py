"""From domain.yaml to answers: their settings, the speaker that words them, and the soft prompt it uses."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from chains import AnswerSettings, LocalSpeaker, RemoteSpeaker, SoftPromptChat, Speaker, remote_chat
from chains.answering.answer_writer import AnswerForm, Unsupported
from chains.speakers.speakers import ChatModel
from prompts import PassageInput, RenderedPrompt, Template, TemplateFile, TextTwins, Turn
from soft_prompt import Manifest, PrefixStore, SlotFill, SoftPrompt, at_strength, encode_prompt, load_soft_prompt
from softgraft.assembly.answer_form import answer_form
from softgraft.errors import UsageError
from softgraft.settings.domain_file import DomainFile
from softgraft.sources.shelf import Source
from softgraft.training.retrieval_fit import search_weights

# `source` is a source graft, which the domain starts from.
Graft = Literal["soft", "source", "text-twin", "empty"]


def answer_settings(file: DomainFile, build: Path, form: AnswerForm | None = None) -> AnswerSettings:
    """How questions become prompts, with the search weights that were chosen on the domain's questions.

    `form` replaces the form in domain.yaml, and then keeps sentences without support, as an evaluation of the model's
    own replies requires.
    """
    retrieval, answer = file.retrieval, file.answer
    return AnswerSettings(
        passages=retrieval.passages,
        margin=retrieval.margin,
        evidence_tokens=retrieval.evidence_tokens,
        history_turns=answer.history_turns,
        history_tokens=answer.history_tokens,
        history_overflow=answer.history_overflow,
        # A small backbone's rewrites find worse evidence than joined questions; a model behind an API rewrites well.
        condense=("model" if file.behind_api else "join") if answer.condense == "auto" else answer.condense,
        weights=search_weights(file, build),
        neighbours=retrieval.neighbours,
        refusal=file.refusal,
        form=form or answer_form(file, build),
        quotes=answer.quotes,
        unsupported="keep" if form else _unsupported(file),
    )


def _unsupported(file: DomainFile) -> Unsupported:
    # A large model's own words are more often right than the check is.
    if file.answer.unsupported == "auto":
        return "mark" if file.behind_api else "quote"
    return file.answer.unsupported


def make_speaker(
    graft: Graft,
    file: DomainFile,
    build: Path,
    template: TemplateFile,
    store: Callable[[], PrefixStore],
    cli_name: str,
    source: Source | None = None,
) -> Speaker:
    """Make the speaker, which words the answers; `graft` fills its soft slot. Only a local backbone calls `store`.

    Raises:
        UsageError: if graft is `soft` and no soft prompt was kept, or `source` and the domain has no source.
        ArtifactError: if the soft prompt belongs to another backbone or is damaged.
        RemoteModelError: if the model behind an API lacks a key, a package or a setting.
    """
    answer = file.answer
    twins = TextTwins(template)
    if file.behind_api:
        return RemoteSpeaker(api_chat(file.backbone, file), (lambda _: "") if graft == "empty" else twins.__getitem__)
    # A slot without a soft prompt, for example one that was renamed after training, holds its text twin.
    fills: Mapping[str, SlotFill] = dict.fromkeys(template.current().soft_slots) if graft == "empty" else twins
    attention = file.attention
    if graft in ("soft", "source"):
        # A soft prompt answers with the attention it was trained with: it works badly with the other one.
        folder = source.soft_prompt if graft == "source" and source else build / "soft_prompt"
        if graft == "source" and source is None:
            raise UsageError(
                found=f"no source graft for {cli_name}",
                expected="a source for its backbone and template: softgraft sources",
                next_step="make one: softgraft source NAME --from DOMAIN,DOMAIN",
            )
        fill, manifest = load_at_strength(folder, store(), cli_name, template.current(), answer.strength)
        fills, attention = ChainMap({fill.slot: fill}, cast(Any, twins)), manifest.attention
    return LocalSpeaker(
        SoftPromptChat(
            store=store(),
            fills=fills,
            graft=graft,
            attention=attention,
            decode_weights=answer.decode_weights,
            # domain.yaml allows null only for a model behind an API.
            max_tokens=cast(int, answer.max_tokens),
            temperature=cast(float, answer.temperature),
        )
    )


def api_chat(name: str, file: DomainFile) -> ChatModel:
    """A chat model behind an API, with the domain's settings for answers and requests."""
    return remote_chat(
        name,
        max_tokens=file.answer.max_tokens,
        temperature=file.answer.temperature,
        base_url=file.base_url,
        timeout=file.remote.timeout_seconds,
        max_retries=file.remote.max_retries,
        options=file.remote.options,
    )


def load_at_strength(
    folder: Path, store: PrefixStore, cli_name: str, template: Template, strength: float
) -> tuple[SoftPrompt, Manifest]:
    """Load the soft prompt in a folder at `answer.strength`.

    Raises:
        UsageError: if no soft prompt was kept.
        ArtifactError: if it belongs to another backbone or is damaged.
    """
    loaded = load_soft_prompt(folder, store.backbone)
    if loaded is None:
        raise UsageError(
            found=f"no trained soft prompt in {folder.parent}",
            expected="a soft prompt that was trained and kept",
            next_step=f"run: softgraft train {cli_name}",
        )
    soft_prompt, manifest = loaded
    prefix: tuple[int, ...] = ()
    if strength != 1 and soft_prompt.kind == "kv":
        prefix = encode_prompt(store.backbone, sample_prompts(template)[0], {}).prefix
    return at_strength(store.backbone, soft_prompt, strength, prefix), manifest


def sample_prompts(template: Template) -> tuple[RenderedPrompt, RenderedPrompt, RenderedPrompt]:
    """Three prompts of a template with made-up inputs: two with different texts, and one with earlier turns."""
    earlier_turns = (Turn("user", "Earlier?"), Turn("assistant", "Yes."))

    def render(text: str, passage_count: int, history: Sequence[Turn] = ()) -> RenderedPrompt:
        passages = [PassageInput(str(n), f"{text} {n}", "", text) for n in range(passage_count)]
        by_kind = {"text": text, "passages": passages, "history": history}
        return template.render({name: by_kind[kind] for name, kind in template.inputs.items()})

    return render("What does it cost?", 1), render("12 pounds, I heard", 2), render("And now?", 1, earlier_turns)

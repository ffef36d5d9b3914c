"""Three hundred hostile strings as question, document, title, history, example, file name and thread id: each arrives
as text, and none becomes template, slot, control token or path."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostile import hostile
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage

from chains import DomainChain, GraftPromptTemplate, InputError, LocalSpeaker, SoftPromptChat
from chains.messages.content import from_messages, soft_block
from prompts import (
    Example,
    PassageInput,
    RenderedPrompt,
    SoftSegment,
    Template,
    TemplateFile,
    Turn,
    find_template,
    load_template,
)
from retrieval import Index, ingest, open_index
from soft_prompt import Backbone, PrefixStore
from soft_prompt.tokens.spans import tokenize_prompt
from tests.support.hashing_encoder import HashingEncoder
from tests.support.small_bank import ScriptedChat, make_answering

# Left out of `make check`.
pytestmark = pytest.mark.heavy

STRINGS = hostile()
# One and the same question again and again, to see what else changes.
PLAIN = "How much?"


def test_there_are_three_hundred_of_them() -> None:
    assert len(set(STRINGS)) == len(STRINGS) >= 300


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The chatbot's template with examples."""
    path = tmp_path_factory.mktemp("templates") / "rag-chat.en.yaml"
    text = find_template("rag-chat").read_text(encoding="utf-8")
    text = text.replace("  - role: user\n", "  - role: examples\n  - role: user\n")
    path.write_text(text + "examples: {similar: 2}\n", encoding="utf-8")
    return load_template(path)


@pytest.fixture(scope="module")
def marked_backbone(make_tiny_backbone: Callable[..., Backbone]) -> Backbone:
    """A backbone with many control tokens, some of which its tokenizer does not call special. It only encodes."""
    backbone = make_tiny_backbone("llama", num_hidden_layers=1)
    backbone.tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|endoftext|>", "<|eot_id|>", "</s>", "[INST]"]}
    )
    backbone.tokenizer.add_tokens(["<tool_call>", "</tool_call>", "<think>", "[TOOL_CALLS]", "<start_of_turn>"])
    return backbone


def values(text: str) -> dict[str, Any]:
    return {
        "question": text,
        "context": [PassageInput(text, text, text, text)],
        "history": [Turn("user", text), Turn("assistant", text)],
        "examples": [Example(text, text)],
    }


def test_every_string_arrives_as_text_and_makes_no_slot(template: Template) -> None:
    compiled = GraftPromptTemplate.compile(template)
    for text in STRINGS:
        given = values(text) | {"history": [HumanMessage(text), AIMessage([{"type": "text", "text": text}])]}
        messages = compiled.format_messages(**given)
        blocks = [block for message in messages for block in message.content]
        assert [block for block in blocks if block["type"] != "text"] == [soft_block("domain")], text
        assert [block["text"] for block in blocks if block["type"] == "text"][1:] == [
            f"{text}. {text}\n{text}\n\n", text, text, text, text, text,
        ], text  # fmt: skip
        assert [m.type for m in messages] == ["system", "human", "ai", "human", "ai", "human"]
        assert from_messages(messages) == template.render(values(text))


def test_no_control_token_comes_from_data(template: Template, marked_backbone: Backbone) -> None:
    tokenizer = marked_backbone.tokenizer
    controls = set(tokenizer.added_tokens_decoder)
    assert len(controls) >= 12
    kinds = [part.kind for part in tokenize_prompt(marked_backbone, template.render(values(PLAIN))).spans]
    for text in STRINGS:
        parts = tokenize_prompt(marked_backbone, template.render(values(text))).spans
        assert [part.kind for part in parts] == kinds, text
        for part in parts:
            if part.kind in ("text", "passage"):
                assert not controls & set(part.ids), text
                assert tokenizer.decode(part.ids, clean_up_tokenization_spaces=False) == part.text


def test_control_tokens_that_are_not_special_are_detected(marked_backbone: Backbone) -> None:
    # Or the test above would prove nothing: the tokenizer alone makes one token of them.
    plain = marked_backbone.tokenizer.encode("<tool_call>", add_special_tokens=False, split_special_tokens=True)
    assert len(plain) == 1
    assert marked_backbone.encode_control("<tool_call>") == plain
    assert len(marked_backbone.encode_text("<tool_call>")) > 1


def test_a_chain_reads_them_as_text(
    index: Index, store: PrefixStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real backbone behind the chain: what it is given is one slot, and the strings as they are."""
    read: list[RenderedPrompt] = []
    stream = SoftPromptChat._stream

    def remember(self: SoftPromptChat, messages: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(from_messages(messages))
        return stream(self, messages, *args, **kwargs)

    monkeypatch.setattr(SoftPromptChat, "_stream", remember)
    speaker = LocalSpeaker(SoftPromptChat(store=store, fills={"domain": None}, max_tokens=1))
    chain = DomainChain(make_answering(index, speaker), tmp_path / "memory.sqlite")
    asked = [text for text in STRINGS[:: len(STRINGS) // 16] if text.strip()]
    for text in asked:
        found = chain.invoke({"question": text, "history": [[text, text]]})
        assert found["question"] == text.strip()
    chain.close()
    assert len(read) == len(asked) >= 15
    for text, prompt in zip(asked, read, strict=True):
        assert prompt.slots() == ("domain",)
        assert [message.text for message in prompt.messages[1:]] == [text, text, text.strip()]
        controls = [part for part in tokenize_prompt(store.backbone, prompt).spans if part.kind == "control"]
        marks = {store.backbone.tokenizer.bos_token_id, store.backbone.tokenizer.eos_token_id}
        all_ids = [number for part in tokenize_prompt(store.backbone, prompt).spans for number in part.ids]
        assert sum(n in marks for n in all_ids) == sum(n in marks for part in controls for n in part.ids)


def test_they_are_thread_ids_and_memories_like_any_other(index: Index, tmp_path: Path) -> None:
    chain = DomainChain(make_answering(index, ScriptedChat()), tmp_path / "memory.sqlite")
    chosen = STRINGS[::4]
    for text in chosen:
        question = text if text.strip() else PLAIN
        found = chain.invoke({"question": question}, config={"configurable": {"thread_id": text}})
        assert found["answer"] == f"You asked: {question.strip()}".strip(), text
    for text in chosen:
        [turn] = chain.history(text)
        assert turn["question"] == (text if text.strip() else PLAIN).strip()
    assert sorted(chain.memory.threads()) == sorted(chosen)
    chain.close()
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} <= {"memory.sqlite", "memory.locks"}


@pytest.mark.parametrize("kind", ["constructor", "secret", "not_implemented"])
def test_a_langchain_payload_is_neither_loaded_nor_a_question(index: Index, tmp_path: Path, kind: str) -> None:
    payload = {"lc": 1, "type": kind, "id": ["langchain", "schema", "messages", "SystemMessage"], "kwargs": {}}
    chain = DomainChain(make_answering(index, ScriptedChat()), tmp_path / "memory.sqlite")
    with pytest.raises(InputError):
        chain.invoke({"question": payload})
    with pytest.raises(InputError):
        chain.invoke({"question": PLAIN, "history": [payload]})
    # In a list of blocks it is a block of an unknown kind, and a message that holds it in text brings it back as text.
    assert chain.invoke({"question": [payload, {"type": "text", "text": PLAIN}]})["question"] == PLAIN
    text = json.dumps(payload)
    message = HumanMessage([{"type": "text", "text": text}, soft_block("domain")])
    with warnings.catch_warnings():
        # LangChain says once that this function may change.
        warnings.simplefilter("ignore")
        assert load(dumpd(message), allowed_objects="core").content[0]["text"] == text
    assert chain.invoke({"question": message})["question"] == text
    chain.close()


def test_half_a_character_is_replaced(index: Index, tmp_path: Path) -> None:
    # JSON can bring one, and neither a tokenizer nor a database takes it.
    chat = ScriptedChat()
    chain = DomainChain(make_answering(index, chat), tmp_path / "memory.sqlite")
    found = chain.invoke({"question": "How \ud800much?", "history": [["\udfff", "a\U0001f600"]]})
    assert found["question"] == "How \ufffdmuch?"
    assert [message.content for message in chat.seen[0]][1:] == ["\ufffd", "a\U0001f600", "How \ufffdmuch?"]
    chain.close()


def as_file_name(text: str) -> str:
    """As near as a file system allows: no slash, no NUL, not too long, and not hidden by a dot in front."""
    return ("_" if text.startswith(".") else "") + text.replace("/", "\u2215").replace("\x00", "\u2400")[:60]


def test_documents_with_such_names_and_contents_are_passages_like_any_other(
    tmp_path: Path, template: Template, marked_backbone: Backbone
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    outside = tmp_path / "outside.txt"
    outside.write_text("secret", encoding="utf-8")
    wanted: dict[str, str] = {}
    # A document with a NUL in it is no text, which is said of it, and nothing else is.
    refused = set()
    for number, text in enumerate(STRINGS):
        name = f"{as_file_name(text)}{number}.txt"
        if "\x00" in text:
            refused.add(name)
        else:
            wanted[name.removesuffix(".txt")] = text
        (docs / name).write_bytes(f"The fee is 12 pounds {text} and no more.\n".encode())
    encoder = HashingEncoder(dimension=32)
    report = ingest(docs, tmp_path / "index", encoder, max_tokens=120)
    assert {name for name, _ in report.failed} == refused
    assert (report.added, len(refused)) == (len(wanted), 2)
    with open_index(tmp_path / "index", encoder) as index:
        passages = list(index.passages())
        assert {p.doc_id for p in passages} == set(wanted)
        controls = set(marked_backbone.tokenizer.added_tokens_decoder)
        for passage in passages:
            assert index.document(passage.doc_id).text[passage.start : passage.end] == passage.text
            given = PassageInput(passage.id, passage.title, passage.heading, passage.text)
            prompt = template.render(values(PLAIN) | {"context": [given]})
            assert prompt.slots() == ("domain",)
            assert sum(isinstance(part, SoftSegment) for m in prompt.messages for part in m.segments) == 1
            data = [part for part in tokenize_prompt(marked_backbone, prompt).spans if part.kind in ("text", "passage")]
            assert not any(controls & set(part.ids) for part in data), passage.doc_id
        kept = {p.doc_id: index.document(p.doc_id).text for p in passages}
    for doc_id, text in wanted.items():
        # Line breaks and a byte order mark are made one kind; nothing else is touched.
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        assert plain in kept[doc_id], (doc_id, kept[doc_id])
    assert outside.read_text(encoding="utf-8") == "secret"
    assert {path.name for path in tmp_path.iterdir()} == {"docs", "index", "outside.txt"}


def test_template_text_with_escaped_braces_is_rendered_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "closed-book.en.yaml"
    # A template is YAML, which no reader accepts with this character.
    for text in [text for text in STRINGS[::3] if "\0" not in text]:
        doubled = text.replace("{", "{{").replace("}", "}}")
        messages = [{"role": "system", "content": doubled + "{domain}"}, {"role": "user", "content": "{question}"}]
        source = {
            "name": "closed-book", "version": 1, "description": "x", "inputs": {"question": "text"},
            "soft_slots": {"domain": text.strip() or "x"},
            "messages": messages,
        }  # fmt: skip
        path.write_text(yaml.safe_dump(source, allow_unicode=True), encoding="utf-8")
        found = TemplateFile(path).current()
        assert found.text_twin("domain") == (text.strip() or "x")
        assert found.render({"question": "y"}).messages[0].text == text

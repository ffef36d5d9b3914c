"""An exported checkpoint of the real backbone, answering in a process that does not import Softgraft."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import soft_prompt
from prompts import PassageInput, RenderedPrompt, Turn, find_template, load_template
from soft_prompt import Backbone, Decoding, PrefixStore, encode_prompt, from_text_twin, generate
from soft_prompt.interop.extended_vocabulary import HfGraft
from soft_prompt.interop.hf_export import HfExport, export_hf, request, token_ids

pytestmark = pytest.mark.slow
ROOT = Path(soft_prompt.__file__).parents[1]
BANK = ROOT / "domains" / "bank"
TOKENS = 8
BATCH = 10
ANSWER = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(1)
folder, tokens, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
chats = json.load(sys.stdin)
texts = tokenizer.apply_chat_template(chats, domain="bank", add_generation_prompt=True, tokenize=False)
ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
answers = [""] * len(ids)
order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
for at in range(0, len(order), batch):
    chosen = order[at : at + batch]
    padded = tokenizer.pad({"input_ids": [ids[n] for n in chosen]}, padding_side="left", return_tensors="pt")
    out = model.generate(**padded, max_new_tokens=tokens, do_sample=False)[:, padded["input_ids"].shape[1] :]
    for number, text in zip(chosen, tokenizer.batch_decode(out, skip_special_tokens=True)):
        answers[number] = text
assert not {"soft_prompt", "softgraft", "prompts"} & set(sys.modules)
print(json.dumps([ids, answers]))
"""


@dataclass(frozen=True)
class Served:
    """Answers and input token ids of Softgraft and of the checkpoint."""

    export: HfExport
    own: list[str]
    own_ids: list[list[int]]
    theirs: list[str]
    their_ids: list[list[int]]


def passages_of(document: Path) -> list[PassageInput]:
    """The sections of a document."""
    title, *sections = document.read_text(encoding="utf-8").split("\n## ")
    parts = [section.partition("\n") for section in sections]
    return [
        PassageInput(f"{document.stem}-{number}", title.lstrip("# ").strip(), heading, text.strip())
        for number, (heading, _, text) in enumerate(parts)
    ]


def bank_prompts(count: int) -> list[RenderedPrompt]:
    """Questions and follow-ups of the bank, each with the passage that answers it, some with another."""
    template = load_template(find_template("rag-chat"))
    prompts = []
    for line in (BANK / "test.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        document = BANK / "docs" / f"{item['doc_id']}.md"
        passages = passages_of(document) if document.is_file() else []
        gold = [passage for passage in passages if item["quote"] in passage.text]
        if gold:
            history = [
                turn
                for question, answer in item["history"]
                for turn in (Turn("user", question), Turn("assistant", answer))
            ]
            other = passages[-1] if passages[-1] != gold[0] else passages[0]
            context = [other, gold[0]] if len(prompts) % 5 == 0 else gold[:1]
            values = {"question": item["question"], "history": history, "context": context}
            prompts.append(template.render(values))
    return prompts[:count]


@pytest.fixture(scope="module")
def served(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory, full: bool) -> Served:
    """Both sides with a soft prompt far enough from its text twin to change the answers."""
    template = load_template(find_template("rag-chat"))
    twin = from_text_twin(backbone, "domain", template.text_twin("domain"), 16)
    noise = torch.randn(twin.vectors.shape, generator=torch.Generator().manual_seed(0))
    soft = replace(twin, vectors=twin.vectors + 0.05 * noise)
    folder = tmp_path_factory.mktemp("served") / "checkpoint"
    export = export_hf(folder, backbone, {"first": HfGraft(twin, template), "bank": HfGraft(soft, template)})
    prompts = bank_prompts(50 if full else 10)
    rows = [encode_prompt(backbone, prompt, {"domain": soft}) for prompt in prompts]
    store = PrefixStore(backbone)
    replies = generate(store, rows, Decoding(max_tokens=TOKENS))
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, str(folder), str(TOKENS), str(BATCH)],
        cwd=folder.parent,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"},
        input=json.dumps([request(prompt) for prompt in prompts]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    their_ids, theirs = json.loads(done.stdout)
    shutil.rmtree(folder)
    return Served(
        export=export,
        own=[reply.text for reply in replies],
        own_ids=[token_ids(row, export.tokens["bank"]) for row in rows],
        theirs=theirs,
        their_ids=their_ids,
    )


def test_the_prompts_have_passages_and_earlier_turns() -> None:
    prompts = bank_prompts(50)
    assert len(prompts) == 50
    assert len({prompt.messages[-1].text for prompt in prompts}) > 47
    assert sum(len(prompt.messages) > 2 for prompt in prompts) >= 5


def test_the_chat_template_gives_the_token_ids_of_softgraft(served: Served) -> None:
    assert served.export.same_ids
    assert served.their_ids == served.own_ids


def test_transformers_alone_gives_the_same_greedy_answers(served: Served) -> None:
    assert len(served.own) == len(served.theirs)
    assert served.theirs == served.own
    # Equal answers prove nothing if all are the same or empty.
    assert len(set(served.own)) > len(served.own) // 2

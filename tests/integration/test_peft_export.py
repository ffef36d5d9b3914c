"""Grafts on the real backbone, exported and loaded by PEFT in a process that cannot import this project.

Both sides compute in fp32. Their logits differ by rounding only, since tokens run in different batches. The test checks
that the best token leads the second by more than that at every step (`LEAD`). In bf16, rounding could decide a tie.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

import soft_prompt
from evaluation import read_items
from prompts import RenderedPrompt, SoftSegment
from soft_prompt import (
    Backbone,
    Decoding,
    PrefixStore,
    Row,
    SoftPrompt,
    adapter_prompt,
    encode_prompt,
    from_text_twin,
    generate,
    initial_adapter,
    kv_from_text_twin,
    prompt_of,
)
from soft_prompt.interop.invocation import invocation_ids, slot_ids
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.model.weights import prepared_folder

BANK = Path(soft_prompt.__file__).parents[1] / "domains" / "bank"
MAX_TOKENS = 8
# Minimum lead of the best token over the second, in nats.
LEAD = 1e-4
SLOT = "domain"
TWIN = "Answer in one short sentence, with the exact figure, name or date."

# Runs in another process. Prompts of the same length form a batch, so nothing is padded.
PEFT_SCRIPT = """
import json, sys, warnings
OURS = ("prompts", "retrieval", "soft_prompt", "chains", "evaluation", "softgraft")
sys.modules.update(dict.fromkeys(OURS))  # importing them fails
warnings.simplefilter("ignore")
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
task = json.load(sys.stdin)
answers, lead = {}, float("inf")
for kind, asked in task["kinds"].items():
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, asked["folder"]).eval()
    by_length, answers[kind] = {}, [None] * len(asked["prompts"])
    for number, ids in enumerate(asked["prompts"]):
        by_length.setdefault(len(ids), []).append(number)
    for length, numbers in by_length.items():
        ids = torch.tensor([asked["prompts"][n] for n in numbers])
        done = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=task["max_tokens"], do_sample=False,
            eos_token_id=task["ends"], pad_token_id=task["ends"][0], output_scores=True, return_dict_in_generate=True,
        )
        for n, row in zip(numbers, done.sequences[:, length:].tolist()):
            answers[kind][n] = row
            said = next((i + 1 for i, token in enumerate(row) if token in task["ends"]), len(row))
            for scores in done.scores[:said]:
                best = scores[numbers.index(n)].topk(2).values
                lead = min(lead, float(best[0] - best[1]))
print(json.dumps({"answers": answers, "lead": lead, "loaded": [n for n in OURS if sys.modules.get(n) is not None]}))
"""


def prompts(backbone: Backbone, count: int) -> list[RenderedPrompt]:
    """Questions of the bank in the most common lengths, so that there are few batches."""
    items = [item for split in ("train", "dev", "test") for item in read_items(BANK / f"{split}.jsonl")]
    questions = list(dict.fromkeys(item.question for item in items))
    by_length: dict[int, list[str]] = {}
    for question in questions:
        by_length.setdefault(len(backbone.encode_text(question)), []).append(question)
    chosen = list(chain.from_iterable(sorted(by_length.values(), key=len, reverse=True)))[:count]
    assert len(chosen) == count
    return [prompt_of("You work at a bank. ", SoftSegment(SLOT), user=question) for question in chosen]


def text_ids(row: Row) -> list[int]:
    """Token ids of a row without vectors."""
    return [*row.prefix, *(i for part in row.suffix if isinstance(part, tuple) for i in part)]


def with_noise(tensor: torch.Tensor, scale: float) -> torch.Tensor:
    """The tensor with noise in place of training."""
    rng = torch.Generator().manual_seed(0)
    return tensor + scale * tensor.std() * torch.randn(tensor.shape, generator=rng)


def grafts(backbone: Backbone) -> dict[str, SoftPrompt]:
    words = from_text_twin(backbone, SLOT, TWIN)
    kv = kv_from_text_twin(backbone, SLOT, TWIN, ())
    adapter = initial_adapter(backbone, 4, 0)
    up = {
        name: torch.randn(t.shape, generator=torch.Generator().manual_seed(1)) * 0.03 for name, t in adapter.up.items()
    }
    return {
        "embedding": replace(words, vectors=with_noise(words.vectors, 0.3)),
        "kv": replace(kv, vectors=with_noise(kv.vectors, 0.1)),
        "adapter": adapter_prompt(backbone, SLOT, TWIN, replace(adapter, up=up)),
    }


def peft_answers(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PEFT_SCRIPT],
        cwd=folder,
        env={**env, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.slow
def test_peft_gives_the_same_greedy_answers(backbone: Backbone, tmp_path: Path, full: bool) -> None:
    pytest.importorskip("peft")
    asked = prompts(backbone, 50 if full else 10)
    empty = [text_ids(encode_prompt(backbone, prompt, {})) for prompt in asked]
    task: dict[str, Any] = {
        "model": str(prepared_folder()), "max_tokens": MAX_TOKENS, "ends": sorted(backbone.end_ids), "kinds": {},
    }  # fmt: skip
    rows: dict[str, Sequence[Row]] = {}
    for kind, graft in grafts(backbone).items():
        invoked = None
        if kind == "adapter":
            invoked = invocation_ids(backbone, asked[:2], SLOT, slot_ids(backbone, graft) or ())
            rows[kind] = [encode_prompt(backbone, prompt, {SLOT: graft}) for prompt in asked]
            given = [text_ids(encode_prompt(backbone, prompt, {SLOT: graft.text_twin})) for prompt in asked]
        else:
            rows[kind] = [Row((), (graft, tuple(ids))) for ids in empty]
            given = empty
        export_peft(tmp_path / kind, graft, backbone, invocation_ids=invoked)
        task["kinds"][kind] = {"folder": str(tmp_path / kind), "prompts": given}
    result = peft_answers(task, tmp_path)
    assert result["loaded"] == []
    assert result["lead"] > LEAD
    decoding = Decoding(max_tokens=MAX_TOKENS)
    ours = {kind: [reply.text for reply in generate(PrefixStore(backbone), of, decoding)] for kind, of in rows.items()}
    for kind, answers in ours.items():
        assert [backbone.decode(ids) for ids in result["answers"][kind]] == answers
        assert len(set(answers)) > len(asked) // 2
    # Each graft changes the answers.
    plain = [Row((), (tuple(ids),)) for ids in empty[:8]]
    bare = [reply.text for reply in generate(PrefixStore(backbone), plain, decoding)]
    for kind, answers in ours.items():
        assert answers[:8] != bare, kind

"""Many callers of eight domains on one backbone: nobody gets anything of another's answer, and nothing piles up."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from house_domain import opened, write_domain
from live_server import LiveServer, running

from chains import Conversations
from soft_prompt import (
    Backbone,
    DevScores,
    SoftPrompt,
    from_text_twin,
    initial_adapter,
    kv_from_text_twin,
    save_soft_prompt,
)
from soft_prompt.artifact.manifest import make_manifest
from softgraft import Domain

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.heavy]

# Name of each domain, the form of its answers, and the kind of its soft prompt, if it has one.
DOMAINS: dict[str, tuple[str, str | None]] = {
    "alder": ("generate", "embedding"),
    "birch": ("generate", "kv"),
    "cedar": ("generate", "adapter"),
    "dogwood": ("extract", None),
    "elm": ("both", "kv"),
    "fir": ("both", "adapter"),
    "ginkgo": ("quote", None),
    "hazel": ("generate", None),
}
CONVERSATIONS = [
    ("How much does a replacement card cost?", "And how long does it take?"),
    ("When does the branch open?", "And when does it close?"),
]
CALLERS, MOST_CALLERS = 16, 64
TWIN = "Answer the question."


@dataclass(frozen=True)
class Turn:
    """What a caller saw of one turn."""

    answer: str
    citations: tuple[tuple[str, int, int, str], ...]
    query: str


def documents(number: int, name: str) -> dict[str, str]:
    """Documents whose words and numbers no other domain has."""
    owner = f"{name.capitalize()} Savings"
    return {
        f"{name}-cards.md": f"# Cards of {owner}\n\nA replacement card costs {number + 20} euros at {owner}.\n\n"
        f"A replacement card takes {number + 40} days at {owner}.\n",
        f"{name}-branch.md": f"# The branch of {owner}\n\nThe branch of {owner} opens at {number + 1}.\n\n"
        f"The branch of {owner} closes at {number + 60}.\n",
        f"{name}-complaints.md": f"# Complaints\n\nMrs {name.capitalize()}son answers every complaint to {owner}.\n",
    }


def soft_prompt(backbone: Backbone, kind: str, seed: int) -> SoftPrompt:
    """A random soft prompt, so that the domains' answers differ."""
    rng = torch.Generator().manual_seed(seed)
    made = (
        kv_from_text_twin(backbone, "domain", TWIN, backbone.encode_text("Hello"), 6)
        if kind == "kv"
        else from_text_twin(backbone, "domain", TWIN, 6)
    )
    adapter = None
    if kind == "adapter":
        adapter = initial_adapter(backbone, 2, seed)
        up = {name: 0.5 * torch.randn(one.shape, generator=rng) for name, one in adapter.up.items()}
        adapter = replace(adapter, up=up)
    vectors = made.vectors + 0.5 * torch.randn(made.vectors.shape, generator=rng)
    return replace(made, vectors=vectors, adapter=adapter)


def graft(domain: Domain, kind: str, seed: int) -> None:
    backbone, template = domain.store.backbone, domain.template.current()
    made = soft_prompt(backbone, kind, seed)
    scores = DevScores(dev_loss=1.0, dev_loss_text_twin=2.0, dev_token_f1=0.5, dev_token_f1_text_twin=0.25)
    manifest = make_manifest(
        made, backbone, template, attention="exact", objective="none", seed=seed, data_hash="0" * 64, train={},
        scores=scores,
    )  # fmt: skip
    save_soft_prompt(domain.build / "soft_prompt", made, manifest, template.text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("isolation")
    folders = {}
    for number, (name, (form, kind)) in enumerate(DOMAINS.items()):
        folders[name] = write_domain(
            folder / name,
            str(backbone_folders[0]),
            answer={"form": form, "unsupported": "keep", "max_tokens": 8},
            retrieval={"passages": 2, "evidence_tokens": 120, "passage_tokens": 48},
        )
        for path in (folders[name] / "docs").iterdir():
            path.unlink()
        for file, text in documents(number, name).items():
            (folders[name] / "docs" / file).write_text(text, encoding="utf-8")
        domain = opened(folders[name])
        domain.ingest()
        if kind is not None:
            graft(domain, kind, number)
        domain.close()
    with running(folders, running=8, queue=MOST_CALLERS, streams=MOST_CALLERS) as live:
        yield live


def ask(http: httpx.Client, domain: str, thread: str, question: str, *, stream: bool) -> Turn:
    body: dict[str, Any] = {"model": domain, "messages": [{"role": "user", "content": question}]}
    body |= {"metadata": {"thread_id": thread}, "stream": stream}
    response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    if stream:
        lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
        assert lines[-1] == "[DONE]", lines[-1]
        chunks = [json.loads(line) for line in lines[:-1]]
        answer, end = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks), chunks[-1]
    else:
        end = response.json()
        answer = end["choices"][0]["message"]["content"]
    about = end["softgraft"]
    assert about["domain"] == domain
    assert about["thread_id"] == thread
    citations = tuple((one["doc_id"], one["start"], one["end"], one["quote"]) for one in end["citations"])
    assert all(doc_id.startswith(domain) for doc_id, *_ in citations)
    return Turn(answer, citations, about["query"])


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="memory and open files are read from /proc")
def test_no_answer_has_anything_of_another(
    server: LiveServer, full: bool, record_property: Callable[[str, object], None]
) -> None:
    turns_of_all, caller_count = (10_000, MOST_CALLERS) if full else (72, CALLERS)
    with server.http() as http:
        alone = {
            (name, number): [ask(http, name, f"alone-{number}", question, stream=False) for question in conversation]
            for name in DOMAINS
            for number, conversation in enumerate(CONVERSATIONS)
        }
    # The comparison means something: domains answer differently, and some cite.
    assert len({(turn.answer, turn.query) for turns in alone.values() for turn in turns}) > 3 * len(DOMAINS)
    assert sum(bool(turn.citations) for turns in alone.values() for turn in turns) > len(DOMAINS)

    jobs = iter(range(turns_of_all // len(CONVERSATIONS[0])))
    guard, problems = threading.Lock(), []
    samples: list[tuple[int, int]] = []
    threads: dict[str, list[tuple[str, int]]] = {name: [] for name in DOMAINS}

    def call() -> None:
        with server.http() as http:
            while not problems:
                with guard:
                    job = next(jobs, None)
                    if job is None:
                        return
                    if job * len(CONVERSATIONS[0]) % (turns_of_all // 4) == 0:
                        samples.append((resident_bytes(), open_files()))
                name = list(DOMAINS)[job % len(DOMAINS)]
                number = job // len(DOMAINS) % len(CONVERSATIONS)
                thread = f"{name}-{job}"
                for question, expected in zip(CONVERSATIONS[number], alone[name, number], strict=True):
                    try:
                        turn = ask(http, name, thread, question, stream=job % 3 != 0)
                        assert turn == expected
                    except Exception as error:  # noqa: BLE001 raised in the test's thread
                        problems.append((name, thread, question, error))
                        return
                with guard:
                    threads[name].append((thread, number))

    callers = [threading.Thread(target=call) for _ in range(caller_count)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(1800)
    assert not problems
    samples.append((resident_bytes(), open_files()))
    # What is stored is each caller's own, completely.
    for name in DOMAINS:
        with server.served.open(name) as domain:
            conversations = Conversations(domain.build / "memory.sqlite")
            assert len(threads[name]) > 0
            stored = {one.thread for one in conversations.threads()}
            assert stored == {thread for thread, _ in threads[name]} | {f"alone-{n}" for n in range(len(CONVERSATIONS))}
            for thread, number in threads[name]:
                turns = conversations.history(thread)
                assert [turn["answer"] for turn in turns] == [turn.answer for turn in alone[name, number]]
            conversations.close()
    # From the second quarter on, memory and open files stay as they are.
    (early_memory, early_files), (late_memory, late_files) = samples[1], samples[-1]
    grown = (late_memory - early_memory) / 2**20
    record_property(
        "campaign",
        f"isolation of {len(DOMAINS)} domains: {turns_of_all} turns of {caller_count} callers, all as if alone; "
        f"memory {grown:+.0f} MiB, open files {early_files} -> {late_files}",
    )
    assert grown < 32
    assert late_files <= early_files + caller_count
    assert server.limits.running == server.limits.streams == 0

"""One conversation asked from several processes, and keys and values taken over on the real backbone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import softgraft
from chains import Conversations
from prompts import Turn, find_template, load_template
from soft_prompt import (
    Backbone,
    Decoding,
    PrefixStore,
    Row,
    SlotFill,
    encode_prompt,
    generate,
    kv_from_text_twin,
)

ROOT = Path(softgraft.__file__).parents[1]
CALLERS = 10
# Asks as many questions at once as it is told, half of them from threads and half from tasks.
ASKING = """
import asyncio, json, sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tests.support.small_bank import ScriptedChat, make_answering, make_index
from chains import DomainChain

root, folder, name, callers = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
said = "A replacement card costs 12 euros."
index = make_index(folder / name)
chain = DomainChain(make_answering(index, ScriptedChat(answer=lambda _: said, pause=0.005)), folder / "memory.sqlite")
config = {"configurable": {"thread_id": "one"}}
(folder / f"{name}.ready").touch()
while not (folder / "go").exists():
    time.sleep(0.005)


async def main():
    asked = [{"question": f"What does card {number} of {name} cost?"} for number in range(callers)]
    half = callers // 2
    return await asyncio.gather(
        *(asyncio.to_thread(chain.invoke, question, config) for question in asked[:half]),
        *(chain.ainvoke(question, config) for question in asked[half:]),
    )


print(json.dumps([found["citations"] for found in asyncio.run(main())]))
"""


@pytest.mark.slow
def test_two_processes_on_one_id_lose_no_turn(tmp_path: Path) -> None:
    names = ("anna", "bert")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASKING, str(ROOT), str(tmp_path), name, str(CALLERS)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name in names
    ]
    deadline = time.monotonic() + 300
    while not all((tmp_path / f"{name}.ready").exists() for name in names) and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "go").touch()
    told = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    turns = Conversations(tmp_path / "memory.sqlite").history("one")
    wanted = {f"What does card {number} of {name} cost?" for name in names for number in range(CALLERS)}
    assert Counter(turn["question"] for turn in turns) == Counter(wanted)
    # Each turn has seen all before it.
    assert [turn["history"]["exchanges"] for turn in turns] == list(range(2 * CALLERS))
    # The citations are those that the other processes were given.
    cited = sorted(json.dumps(citations) for out in told for citations in json.loads(out))
    assert any("12 euros" in citation for citation in cited)
    assert sorted(json.dumps(turn["citations"]) for turn in turns) == cited


# Asks one question with a clock that is some days off.
CLOCK = """
import sys, time
from pathlib import Path

days, real = float(sys.argv[4]), time.time_ns
time.time_ns = lambda: real() + int(days * 86400e9)
sys.path.insert(0, sys.argv[1])
from tests.support.small_bank import ScriptedChat, make_answering, make_index
from chains import DomainChain

folder, number = Path(sys.argv[2]), sys.argv[3]
chain = DomainChain(make_answering(make_index(folder / number), ScriptedChat()), folder / "memory.sqlite")
for name in ("one", number):
    chain.invoke({"question": f"What does card {number} cost?"}, {"configurable": {"thread_id": name}})
chain.close()
"""


@pytest.mark.slow
def test_processes_with_different_clocks_lose_no_turn(tmp_path: Path) -> None:
    for number, days in enumerate((0, -1, 2)):
        command = [sys.executable, "-c", CLOCK, str(ROOT), str(tmp_path), str(number), str(days)]
        subprocess.run(command, check=True, timeout=300, cwd=ROOT)
        stored = Conversations(tmp_path / "memory.sqlite")
        wanted = [f"What does card {earlier} cost?" for earlier in range(number + 1)]
        assert [turn["question"] for turn in stored.history("one")] == wanted
        assert [entry.thread for entry in stored.threads()] == [
            str(number), "one", *(str(earlier) for earlier in reversed(range(number))),
        ]  # fmt: skip
        stored.close()


@pytest.mark.parametrize("kind", ["text", "kv"])
def test_the_real_backbone_says_the_same_with_and_without_what_it_knows(backbone: Backbone, kind: str) -> None:
    template = load_template(find_template("closed-book"))
    twin = template.text_twin("domain")
    stores = [PrefixStore(backbone), PrefixStore(backbone, conversation_bytes=64 * 1024**2)]
    fill: SlotFill = twin
    if kind == "kv":
        fill = kv_from_text_twin(
            stores[0].backbone, "domain", twin, backbone.encode_text("You are a helpful assistant. ")
        )
    turns: list[Turn] = []
    before: Row | None = None
    for question in ("What is the capital of France?", "And of Italy?", "Which of the two is older?"):
        row = encode_prompt(backbone, template.render({"question": question, "history": turns}), {"domain": fill})
        [plain], [quick] = (generate(store, [row], Decoding(max_tokens=12)) for store in stores)
        assert (quick.text, quick.tokens, quick.prompt_tokens) == (plain.text, plain.tokens, plain.prompt_tokens)
        if before is not None:
            # All of the last turn, with the reply that was decoded in it, but not the new question.
            assert before.length < quick.cached_tokens < row.length - 5
            assert plain.cached_tokens == len(row.prefix)
        turns += [Turn("user", question), Turn("assistant", quick.text.strip())]
        before = row

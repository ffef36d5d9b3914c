"""Every code block of README.md and of docs/ runs, in order, in a small copy of the example domain.

A block that cannot run here says why in a comment right before it: `<!-- not run: needs a server -->`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from code_blocks import ROOT, Block, Outcome, blocks_of, pages

from prompts import load_template
from softgraft.settings.domain_file import DomainFile

BLOCKS = [b for page in pages() for b in blocks_of(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))]
RUN = [block for block in BLOCKS if block.kind in ("python", "command") and block.reason is None]
DOCUMENTS = ("card-payment-disputes", "direct-debits")

LESSON = {"answers": ["ask your branch"], "response": "Please ask your branch."}


def name(block: Block) -> str:
    return f"{block.page}:{block.line}-{block.language}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cut-down `bank` and documents of a shop, so that training takes seconds."""
    folder = tmp_path_factory.mktemp("blocks") / "readme"
    bank = folder / "domains" / "bank"
    (bank / "docs").mkdir(parents=True)
    for document in DOCUMENTS:
        shutil.copy(ROOT / "domains" / "bank" / "docs" / f"{document}.md", bank / "docs")
    for split, source, most in (("train", "train", 4), ("dev", "train", 2), ("test", "test", 2)):
        lines = (ROOT / "domains" / "bank" / f"{source}.jsonl").read_text(encoding="utf-8").splitlines()
        items = [item for item in map(json.loads, lines) if item["doc_id"] in DOCUMENTS][:most]
        # Every question has one answer, which no untrained model gives: so the soft prompt beats its text twin in
        # a few steps, and is kept for what the pages do with it.
        taught = [item if split == "test" else {**item, **LESSON} for item in items]
        (bank / f"{split}.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in taught), encoding="utf-8")
    settings = yaml.safe_load((ROOT / "domains" / "bank" / "domain.yaml").read_text(encoding="utf-8"))
    settings["train"] = {**settings.get("train", {}), "epochs": 3, "length": 8, "batch_size": 1, "warmup_steps": 0}
    settings["answer"] = {**settings.get("answer", {}), "max_tokens": 16}
    (bank / "domain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    shop = folder / "shop-documents"
    shop.mkdir()
    (shop / "opening-hours.md").write_text(
        "# Opening hours\n\n## Saturdays\nOn Saturday we are open from 9:00 to 13:00.\n"
    )
    return folder


@pytest.fixture(scope="module")
def outcomes(workplace: Path) -> dict[tuple[str, int], Outcome]:
    """What came of every block, by page and line."""
    by_page = [[asdict(b) for b in RUN if b.page == page] for page in dict.fromkeys(block.page for block in RUN)]
    assert by_page[0][0]["page"] == "README.md"
    job = workplace.with_name("job.json")
    job.write_text(json.dumps({"folder": str(workplace), "pages": by_page}))
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "integration" / "code_blocks.py", job],
        cwd=workplace,
        env={**environment, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = [Outcome(**outcome) for outcome in json.loads(job.with_suffix(".out.json").read_text())]
    return {(outcome.page, outcome.line): outcome for outcome in found}


def test_every_block_runs_or_says_why_not() -> None:
    assert len(pages()) >= 7
    assert [name(block) for block in BLOCKS if block.kind == "unknown"] == []
    left_out = [block for block in BLOCKS if block.kind in ("python", "command") and block.reason is not None]
    assert len(RUN) >= 8
    assert len(left_out) <= len(RUN)
    # A reason is for what could run; the other blocks need none.
    assert [name(b) for b in BLOCKS if b.reason is not None and b.kind not in ("python", "command")] == []


@pytest.mark.parametrize("block", RUN, ids=name)
def test_a_block_runs(block: Block, outcomes: dict[tuple[str, int], Outcome]) -> None:
    outcome = outcomes[block.page, block.line]
    assert outcome.problem is None, f"{outcome.output}\n{outcome.problem}"
    if block.page == "README.md":
        assert outcome.output.strip()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "data"], ids=name)
def test_data_can_be_read(block: Block, tmp_path: Path) -> None:
    if block.language == "json":
        assert json.loads(block.text)
    elif block.language == "jsonl":
        assert [json.loads(line) for line in block.text.splitlines()]
    else:
        data = yaml.safe_load(block.text)
        assert isinstance(data, dict)
        if "messages" in data:
            path = tmp_path / f"{data['name']}.yaml"
            path.write_text(block.text, encoding="utf-8")
            assert load_template(path)
        else:
            DomainFile.model_validate({"name": "shop", "title": "The shop", **data})


def test_the_question_of_the_readme_is_one_that_a_question_file_takes() -> None:
    from evaluation.items import Item

    [block] = [block for block in BLOCKS if block.page == "README.md" and block.language == "json"]
    item = Item.model_validate_json(block.text)
    assert item.answers[0] in item.response


PAGE = """# A page

```python
print("```")
```

<!-- not run: needs a key -->
```sh
curl example.org \\
  --verbose
```

````text
```python
shown()
```
````

```console
$ softgraft status bank
all is well
# said of it
```

```
nothing
```
"""


def test_blocks_are_found_with_their_reasons() -> None:
    found = blocks_of("page.md", PAGE)
    assert [(b.line, b.language, b.kind, b.reason) for b in found] == [
        (3, "python", "python", None),
        (8, "sh", "command", "needs a key"),
        (13, "text", "shown", None),
        (19, "console", "command", None),
        (25, "", "unknown", None),
    ]
    assert found[0].text == 'print("```")\n'
    assert found[1].lines == ["curl example.org    --verbose"]
    assert found[3].lines == ["softgraft status bank"]
    with pytest.raises(ValueError, match=r"page\.md:1: a block that does not end"):
        blocks_of("page.md", "```python\nprint(1)\n")


def test_a_block_that_fails_is_told_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "readme").mkdir()
    texts = ["x = 1", "print(x + y)", "y = 2\nprint(x + y)"]
    blocks = [Block("README.md", number, "python", text) for number, text in enumerate(texts, 1)]
    blocks += [Block("README.md", 4, "sh", "echo one\nfalse\necho two\n"), Block("README.md", 5, "sh", "echo three\n")]
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"folder": str(tmp_path / "readme"), "pages": [[asdict(block) for block in blocks]]}))
    subprocess.run([sys.executable, ROOT / "tests" / "integration" / "code_blocks.py", job], check=True, timeout=60)
    found = [Outcome(**outcome) for outcome in json.loads((tmp_path / "job.out.json").read_text())]
    assert [outcome.output for outcome in found] == ["", "", "3\n", "one\n", "three\n"]
    assert [outcome.problem is None for outcome in found] == [True, False, True, False, True]
    assert "name 'y' is not defined" in (found[1].problem or "")
    assert "false: exit code 1" in (found[3].problem or "")

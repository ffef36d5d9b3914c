"""Every code block of README.md and docs/ runs, in order, in a small copy of the example domain.

A block that cannot run here says why in a comment on the line before it: `<!-- not run: needs a server -->`.
The blocks of docs/ run with `make test-all`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from code_blocks import README, ROOT, Block, Outcome, pages, parse_blocks, run_page

from evaluation.items import Item
from prompts import load_template
from softgraft.settings.domain_file import DomainFile

BLOCKS = [b for page in pages() for b in parse_blocks(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))]
README_BLOCKS = [block for block in BLOCKS if block.runs and block.page == README.name]
DOCS_BLOCKS = [block for block in BLOCKS if block.runs and block.page != README.name]
DOCUMENTS = ("card-payment-disputes", "direct-debits")
# The pages of docs/ start from the example domain as it is after this command of the README.
TRAIN = "softgraft train bank"
TAUGHT = {"answers": ["ask your branch"], "response": "Please ask your branch."}


def block_id(block: Block) -> str:
    return f"{block.page}:{block.line}-{block.language}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a shortened `bank`, so that training takes seconds, and with documents of a shop."""
    folder = tmp_path_factory.mktemp("blocks") / "readme"
    bank = folder / "domains" / "bank"
    (bank / "docs").mkdir(parents=True)
    for document in DOCUMENTS:
        shutil.copy(ROOT / "domains" / "bank" / "docs" / f"{document}.md", bank / "docs")
    for split, source, count in (("train", "train", 4), ("dev", "train", 2), ("test", "test", 2)):
        lines = (ROOT / "domains" / "bank" / f"{source}.jsonl").read_text(encoding="utf-8").splitlines()
        items = [item for item in map(json.loads, lines) if item["doc_id"] in DOCUMENTS][:count]
        # Every training question has the same answer, which no untrained model gives. So the soft prompt beats its
        # text twin after a few steps and is kept for the commands that need one.
        items = [item if split == "test" else {**item, **TAUGHT} for item in items]
        (bank / f"{split}.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
    settings = yaml.safe_load((ROOT / "domains" / "bank" / "domain.yaml").read_text(encoding="utf-8"))
    settings["train"] = {
        **settings.get("train", {}),
        "epochs": 3,
        "min_steps": 1,
        "length": 8,
        "batch_size": 1,
        "warmup_steps": 0,
    }
    settings["answer"] = {**settings.get("answer", {}), "max_tokens": 16}
    (bank / "domain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    shop = folder / "shop-documents"
    shop.mkdir()
    (shop / "opening-hours.md").write_text(
        "# Opening hours\n\n## Saturdays\nOn Saturday we are open from 9:00 to 13:00.\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_API_KEY", raising=False)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("NO_COLOR", "1")
        yield folder


@pytest.fixture(scope="module")
def readme_outcomes(workplace: Path) -> dict[Block, Outcome]:
    """The outcomes of the README's blocks; leaves a copy of the workplace after training beside it."""

    def copy_when_trained(command: str) -> None:
        if command == TRAIN:
            shutil.copytree(workplace, workplace.with_name("trained"))

    return dict(zip(README_BLOCKS, run_page(README_BLOCKS, workplace, copy_when_trained), strict=True))


@pytest.fixture(scope="module")
def docs_outcomes(workplace: Path, readme_outcomes: dict[Block, Outcome]) -> dict[Block, Outcome]:
    """The outcomes of the blocks of docs/; each page starts from a copy of the trained workplace."""
    outcomes: dict[Block, Outcome] = {}
    for number, page in enumerate(dict.fromkeys(block.page for block in DOCS_BLOCKS)):
        folder = shutil.copytree(workplace.with_name("trained"), workplace.with_name(f"page-{number}"))
        blocks = [block for block in DOCS_BLOCKS if block.page == page]
        outcomes |= zip(blocks, run_page(blocks, Path(folder)), strict=True)
    return outcomes


@pytest.mark.parametrize("block", README_BLOCKS, ids=block_id)
def test_a_readme_block_runs(block: Block, readme_outcomes: dict[Block, Outcome]) -> None:
    outcome = readme_outcomes[block]
    assert outcome.problem is None, f"{outcome.output}\n{outcome.problem}"
    assert outcome.output.strip()


@pytest.mark.slow
@pytest.mark.parametrize("block", DOCS_BLOCKS, ids=block_id)
def test_a_docs_block_runs(block: Block, docs_outcomes: dict[Block, Outcome]) -> None:
    outcome = docs_outcomes[block]
    assert outcome.problem is None, f"{outcome.output}\n{outcome.problem}"


def test_every_block_runs_or_says_why_not() -> None:
    assert len(pages()) >= 7
    assert [block_id(block) for block in BLOCKS if block.kind == "unknown"] == []
    excused = [block for block in BLOCKS if block.reason is not None]
    assert len(README_BLOCKS) >= 7
    assert len(excused) <= len(README_BLOCKS) + len(DOCS_BLOCKS)
    # Only blocks that could run need a reason.
    assert [block_id(block) for block in excused if block.kind not in ("python", "command")] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "data"], ids=block_id)
def test_a_data_block_is_valid(block: Block, tmp_path: Path) -> None:
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


def test_the_question_in_the_readme_is_valid() -> None:
    [block] = [block for block in BLOCKS if block.page == README.name and block.language == "json"]
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


def test_blocks_are_parsed_with_their_reasons() -> None:
    blocks = parse_blocks("page.md", PAGE)
    assert [(b.line, b.language, b.kind, b.reason) for b in blocks] == [
        (3, "python", "python", None),
        (8, "sh", "command", "needs a key"),
        (13, "text", "shown", None),
        (19, "console", "command", None),
        (25, "", "unknown", None),
    ]
    assert blocks[0].text == 'print("```")\n'
    assert blocks[1].commands == ["curl example.org    --verbose"]
    assert blocks[3].commands == ["softgraft status bank"]
    with pytest.raises(ValueError, match=r"page\.md:1: a block that does not end"):
        parse_blocks("page.md", "```python\nprint(1)\n")


def test_a_failing_block_is_reported_and_the_next_one_runs(tmp_path: Path) -> None:
    texts = ["x = 1", "print(x + y)", "y = 2\nprint(x + y)"]
    blocks = [Block("README.md", number, "python", text) for number, text in enumerate(texts, 1)]
    blocks += [Block("README.md", 4, "sh", "echo one\nfalse\necho two\n"), Block("README.md", 5, "sh", "echo three\n")]
    outcomes = run_page(blocks, tmp_path)
    assert [outcome.output for outcome in outcomes] == ["", "", "3\n", "one\n", "three\n"]
    assert [outcome.problem is None for outcome in outcomes] == [True, False, True, False, True]
    assert "name 'y' is not defined" in (outcomes[1].problem or "")
    assert "false: exit code 1" in (outcomes[3].problem or "")

"""The arrows between the packages, read from their imports, and the few things that may stand in none of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400

# What each package may import of the others. softgraft -> evaluation -> chains -> {soft_prompt, retrieval, prompts},
# and soft_prompt -> prompts.
ARROWS: dict[str, set[str]] = {
    "prompts": set(),
    "retrieval": set(),
    "soft_prompt": {"prompts"},
    "chains": {"soft_prompt", "retrieval", "prompts"},
    "evaluation": {"chains", "soft_prompt", "retrieval", "prompts"},
    "softgraft": {"evaluation", "chains", "soft_prompt", "retrieval", "prompts"},
}
# Pickle runs whatever a file says; jinja2 makes code of templates; the two LangChain packages are being retired.
BANNED_IMPORTS = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "jinja2",
    "langchain_community", "langchain_classic",
}  # fmt: skip
BANNED_CALLS = {"eval", "exec", "torch.load"}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


@dataclass(frozen=True)
class Module:
    """One module: its package, its path inside the project, and its source."""

    package: str
    path: str
    source: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)


def modules_of(root: Path) -> list[Module]:
    """Every module of every package that there is yet."""
    return [
        Module(package, file.relative_to(root).as_posix(), file.read_text(encoding="utf-8"))
        for package in ARROWS
        for file in sorted((root / package).rglob("*.py"))
    ]


def imports_of(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full name of every absolute import, wherever in the module it stands.

    `import_module("name")` counts as well, since it is how packages that load late import.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def broken_arrows(module: Module) -> list[str]:
    allowed = ARROWS[module.package] | {module.package}
    return [
        f"{module.path}:{line}: {module.package} imports {name}"
        for line, name in imports_of(module)
        if name.split(".")[0] in ARROWS and name.split(".")[0] not in allowed
    ]


def langchain_outside_chains(module: Module) -> list[str]:
    return [
        f"{module.path}:{line}: {name}"
        for line, name in imports_of(module)
        if name.split(".")[0].startswith(("langchain", "langgraph")) and module.package != "chains"
    ]


def banned(module: Module) -> list[str]:
    found = [
        f"{module.path}:{line}: imports {name}"
        for line, name in imports_of(module)
        if name.split(".")[0] in BANNED_IMPORTS or name in BANNED_CALLS
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and dotted(node.func).removeprefix("builtins.") in BANNED_CALLS:
            found.append(f"{module.path}:{node.lineno}: calls {dotted(node.func)}")
    return found


def too_long(module: Module) -> list[str]:
    lines = module.source.count("\n")
    return [f"{module.path}: {lines} lines"] if lines > MAX_LINES else []


def named_for_nothing(module: Module) -> list[str]:
    parts = Path(module.path).with_suffix("").parts
    return [f"{module.path}: {part}" for part in parts if BANNED_NAMES & set(part.split("_"))]


RULES = [broken_arrows, langchain_outside_chains, banned, too_long, named_for_nothing]
MODULES = modules_of(ROOT)


def test_the_packages_are_found() -> None:
    assert len(MODULES) >= 30
    counts = {package: sum(module.package == package for module in MODULES) for package in ARROWS}
    assert counts["prompts"] >= 5
    assert counts["soft_prompt"] >= 15
    assert counts["retrieval"] >= 15


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: object) -> None:
    assert callable(rule)
    assert [problem for module in MODULES for problem in rule(module)] == []


@pytest.mark.parametrize(
    ("path", "source", "rule"),
    [
        ("prompts/a.py", "import torch, soft_prompt.batch", broken_arrows),
        ("retrieval/a.py", "from prompts import load_template", broken_arrows),
        ("retrieval/deep/a.py", "def f():\n    from prompts.load import load_template", broken_arrows),
        ("soft_prompt/a.py", "from retrieval import open_index", broken_arrows),
        ("soft_prompt/a.py", "if TYPE_CHECKING:\n    import chains", broken_arrows),
        ("soft_prompt/a.py", "from importlib import import_module\nimport_module('chains.graph')", broken_arrows),
        ("chains/a.py", "from softgraft import open_domain", broken_arrows),
        ("chains/a.py", "import evaluation as e", broken_arrows),
        ("evaluation/a.py", "from softgraft.domain import Domain", broken_arrows),
        ("prompts/a.py", "from langchain_core.prompts import ChatPromptTemplate", langchain_outside_chains),
        ("softgraft/a.py", "import langgraph.graph", langchain_outside_chains),
        ("evaluation/a.py", "def f():\n    import langchain", langchain_outside_chains),
        ("chains/a.py", "from langchain_community.vectorstores import FAISS", banned),
        ("chains/a.py", "import langchain_classic.chains", banned),
        ("retrieval/a.py", "import pickle", banned),
        ("soft_prompt/a.py", "import torch\ntorch.load('x')", banned),
        ("soft_prompt/a.py", "from torch import load", banned),
        ("prompts/a.py", "from jinja2 import Template", banned),
        ("softgraft/a.py", "eval('1')", banned),
        ("softgraft/a.py", "import builtins\nbuiltins.exec('1')", banned),
        ("prompts/a.py", "\n" * (MAX_LINES + 1), too_long),
        ("softgraft/utils.py", "", named_for_nothing),
        ("softgraft/common/a.py", "", named_for_nothing),
        ("chains/memory_manager.py", "", named_for_nothing),
    ],
)
def test_a_module_that_breaks_a_rule_is_found(tmp_path: Path, path: str, source: str, rule: object) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    (module,) = modules_of(tmp_path)
    found = {other.__name__ for other in RULES if other(module)}
    assert getattr(rule, "__name__", None) in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("soft_prompt/a.py", "model.eval()\nfrom prompts import RenderedPrompt\nfrom soft_prompt.batch import Batch"),
        ("soft_prompt/a.py", "from safetensors.torch import load\nload(b'')"),
        ("chains/a.py", "from langchain_core.messages import AIMessage\nimport langgraph\nimport retrieval"),
        ("softgraft/commands/a.py", "import chains, evaluation, prompts, retrieval, soft_prompt"),
        ("softgraft/a.py", "from .commands import ask"),
        ("prompts/a.py", "# import torch, chains\nTEXT = 'import pickle; eval(1)'"),
        ("prompts/a.py", "\n" * MAX_LINES),
    ],
)
def test_a_module_that_keeps_the_rules_is_let_be(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    (module,) = modules_of(tmp_path)
    assert [problem for rule in RULES for problem in rule(module)] == []

"""What `softgraft doctor` finds, and its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from house_domain import write_domain

from softgraft import Domain
from softgraft.commands.status import BROKEN
from softgraft.jobs import doctor
from softgraft.jobs.domain_doctor import examine_domain
from softgraft.jobs.findings import Finding, examined, folder_bytes, gibibytes

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]
GIB = 2**30


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOFTGRAFT_CACHE", str(folder))
    # The digests of the real weights are tested in tests/integration.
    monkeypatch.setattr(doctor, "_weights", list)
    return folder


def found(name: str, findings: list[Finding]) -> Finding:
    [finding] = [finding for finding in findings if finding.name == name]
    return finding


def test_a_working_machine(run: Run) -> None:
    code, out, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    report: dict[str, Any] = json.loads(out)
    assert report["broken"] == 0
    names = [finding["name"] for finding in report["findings"]]
    assert names[:6] == ["python", "platform", "torch", "device", "dtype", "memory"]
    assert {"disk", "cache", "environment", "transformers", "langchain", "faiss-cpu", "sentence-transformers"} <= {
        *names
    }
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert sys.executable in out
    assert out.splitlines()[-1] == "nothing is broken"


@pytest.mark.parametrize(
    ("free", "state"), [(8 * GIB, "ok"), (1.5 * GIB, "note"), (0.5 * GIB, "broken")], ids=["much", "little", "none"]
)
def test_free_memory(monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda _: int(free))
    memory = found("memory", doctor.examine())
    assert memory.state == state
    assert memory.value.startswith(gibibytes(free))
    assert (memory.fix is None) == (state == "ok")


def test_a_missing_requirement_has_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["not-installed-anywhere>=1,<2", "numpy>=900", "pyyaml", "bm25s>=900; extra == 'bench'"]
    monkeypatch.setattr(doctor, "requires", lambda _: wanted)
    broken = {finding.name: finding for finding in doctor.examine() if finding.state == "broken"}
    assert set(broken) == {"not-installed-anywhere", "numpy"}
    assert broken["not-installed-anywhere"].fix == "pip install 'not-installed-anywhere<2,>=1'"
    assert "expected >=900" in broken["numpy"].value


def test_a_library_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    faiss = found("faiss", doctor.examine())
    assert faiss.state == "broken"
    assert "does not import" in faiss.value


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(doctor, "_is_writable", lambda _: False)
    code, out, _ = run("doctor")
    assert code == BROKEN
    assert "fix: choose another folder: export SOFTGRAFT_CACHE=FOLDER" in out
    assert out.splitlines()[-1] == "1 broken"


def test_a_broken_pytorch_is_reported(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delitem(sys.modules, "softgraft.jobs.doctor")
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = run("doctor", "--json")
    assert (code, err) == (BROKEN, "")
    [finding] = json.loads(out)["findings"]
    assert finding["name"] == "installation"
    assert "torch" in finding["value"]


def test_an_unknown_domain(run: Run) -> None:
    code, out, err = run("doctor", "banc")
    assert (code, out) == (3, "")
    assert "no domain 'banc'" in err


def test_a_domain_that_works(make_domain: Callable[..., Domain]) -> None:
    findings = examine_domain(make_domain(ingest=True).folder)
    assert {finding.state for finding in findings} == {"ok"}
    assert found("questions", findings).value == "4 train, 4 dev, 4 test"
    assert "float32" in found("domain device", findings).value
    assert found("soft prompt", findings).value == "none; the text twin is used"


def test_a_domain_without_an_index(tmp_path: Path, backbone_folders: tuple[Path, Path]) -> None:
    folder = write_domain(tmp_path / "house", str(backbone_folders[0]))
    index = found("index", examine_domain(folder))
    assert (index.state, index.fix) == ("note", f"softgraft ingest {folder}")


def test_problems_of_a_domain_and_their_fixes(tmp_path: Path, backbone_folders: tuple[Path, Path]) -> None:
    folder = write_domain(tmp_path / "house", "no such/folder or id", device="gpu")
    (folder / "train.jsonl").write_text("{}\n")
    findings = examine_domain(folder)
    broken = {finding.name: finding for finding in findings if finding.state == "broken"}
    assert set(broken) == {"domain device", "domain backbone", "questions"}
    assert all(finding.fix for finding in broken.values())
    assert "set `device: " in str(broken["domain device"].fix)
    (folder / "domain.yaml").write_text("name: house\ntitle: x\nansewr: {}\n")
    [settings] = examine_domain(folder)
    assert settings.state == "broken"
    assert "did you mean `answer`?" in settings.value


def test_a_file_that_cannot_be_read_is_a_finding() -> None:
    def look() -> Finding:
        raise PermissionError(13, "Permission denied", "weights.safetensors")

    finding = examined("backbone", look)
    assert (finding.state, finding.value) == ("broken", "no permission: weights.safetensors: Permission denied")
    assert finding.fix

    def bug() -> Finding:
        raise AssertionError

    with pytest.raises(AssertionError):
        examined("backbone", bug)


@pytest.mark.heavy
def test_a_soft_prompt_of_another_backbone(grafted: Domain, backbone_folders: tuple[Path, Path]) -> None:
    assert found("soft prompt", examine_domain(grafted.folder)).state == "ok"
    path = grafted.folder / "domain.yaml"
    path.write_text(path.read_text().replace(str(backbone_folders[0]), str(backbone_folders[1])))
    prompt = found("soft prompt", examine_domain(grafted.folder))
    assert prompt.state == "broken"
    assert "softgraft train" in str(prompt.fix)


def test_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"x" * 24)
    assert folder_bytes(tmp_path) == 1024
    assert (gibibytes(3 * 2**20), gibibytes(1.25 * GIB)) == ("3 MiB", "1.2 GiB")

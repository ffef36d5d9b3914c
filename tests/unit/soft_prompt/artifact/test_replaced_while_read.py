"""A soft prompt is replaced while others read it: each sees one complete version, and so after a kill at any point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from artifact_checks import change, loaded, saved

from soft_prompt import ArtifactError, Backbone, load_soft_prompt, read_manifest
from soft_prompt.artifact.artifact import trained_template
from soft_prompt.artifact.saved_folder import MANIFEST, TEMPLATE, VECTORS

# Left out of `make check`: it starts processes.
pytestmark = pytest.mark.heavy

# Saves versions whose numbers, seed and template say which version they are.
SAVE = """
import sys, torch
from pathlib import Path
from soft_prompt import Manifest, SoftPrompt, save_soft_prompt
folder, described = Path(sys.argv[1]), Manifest.model_validate_json(sys.argv[2])
def save(number):
    soft_prompt = SoftPrompt(described.slot, torch.full(described.shape, float(number)), described.text_twin)
    manifest = described.model_copy(update={"seed": number, "manifest_sha256": ""})
    save_soft_prompt(folder, soft_prompt, manifest, f"version: {number}")
"""
# Without end, until its standard input is closed.
LOOP = f"""{SAVE}
import select
number = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    save(number)
print(number)
"""
# For each file operation of a save, a fork that is killed right before it.
KILL = f"""{SAVE}
import json, os
from soft_prompt.artifact.artifact import trained_template
from soft_prompt.artifact.saved_folder import VECTORS, current_file, current_folder
from soft_prompt.artifact.manifest import read_manifest
from safetensors.torch import load
OPERATIONS = {{"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}}
def killed_at(point):
    left = point
    def hook(event, arguments):
        nonlocal left
        if event in OPERATIONS:
            left -= 1
            if left < 0:
                os._exit(9)
    sys.addaudithook(hook)
number, seen, point = 1, [], 0
if sys.argv[3] == "second":
    save(number)
while True:
    number += 1
    child = os.fork()
    if not child:
        killed_at(point)
        save(number)
        os._exit(0)
    done = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    manifest = read_manifest(folder)
    if manifest is None:
        seen.append([done, number, None, None, None])
    else:
        at = current_folder(folder)
        value = load(current_file(at, VECTORS, manifest.vectors_sha256).read_bytes())["vectors"].unique().tolist()
        seen.append([done, number, manifest.seed, value, trained_template(folder).read_text()])
    if not done:
        break
    point += 1
    if sys.argv[3] == "second" or manifest is not None:
        # The next save has no kill and cleans up.
        number += 1
        save(number)
files, beside = (sorted(path.name for path in at.iterdir()) for at in (folder, folder.parent))
print(json.dumps([seen, files, beside]))
"""


def started(code: str, folder: Path, backbone: Backbone, *more: str) -> subprocess.Popen[str]:
    _, manifest = saved(folder.with_name("described"), backbone)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", code, str(folder), manifest.model_dump_json(), *more]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_each_load_sees_one_complete_version(folder: Path, tiny_backbone: Backbone, full: bool) -> None:
    process = started(LOOP, folder, tiny_backbone)
    while read_manifest(folder) is None and process.poll() is None:
        time.sleep(0.01)
    seen: list[int] = []
    end = time.monotonic() + (30 if full else 2)
    while time.monotonic() < end and process.poll() is None:
        found = load_soft_prompt(folder, tiny_backbone)
        assert found is not None
        soft_prompt, manifest = found
        assert torch.equal(soft_prompt.vectors, torch.full((4, 32), float(manifest.seed)))
        assert read_manifest(folder) is not None
        seen.append(manifest.seed)
    said, problem = process.communicate("stop")
    assert process.returncode == 0, problem
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert int(said) >= seen[-1]
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, VECTORS, TEMPLATE]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
@pytest.mark.parametrize("which", ["first", "second"])
def test_a_kill_at_any_point_leaves_one_complete_version(folder: Path, tiny_backbone: Backbone, which: str) -> None:
    said, problem = started(KILL, folder, tiny_backbone, which).communicate(timeout=100)
    assert said, problem
    seen, files, beside = json.loads(said)
    assert len(seen) > 8
    assert seen[-1][0] == 0
    for _, number, seed, value, template in seen:
        if seed is None:
            assert which == "first"
        else:
            assert value == [float(seed)]
            assert template == f"version: {seed}"
            assert seed in (number, number - 1)
    # Both outcomes occur.
    assert {seed == number for _, number, seed, *_ in seen} == {True, False}
    assert files == [MANIFEST, VECTORS, TEMPLATE]
    assert beside == ["described", folder.name]


def test_readers_write_nothing(folder: Path, tiny_backbone: Backbone) -> None:
    old, _ = saved(folder, tiny_backbone)
    # As an earlier version left it that was killed between two renames.
    left = folder.with_name(f".{folder.name}.old")
    folder.rename(left)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, old.vectors)
    assert trained_template(folder).parent == left or not trained_template(folder).exists()
    assert [path.name for path in folder.parent.iterdir()] == [left.name]
    new, _ = saved(folder, tiny_backbone, seed=2)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, new.vectors)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_copied_folder_loads(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone)
    new, _ = saved(folder, tiny_backbone, seed=2)
    copy = folder.with_name("copy")
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert torch.equal(loaded(copy, tiny_backbone).vectors, new.vectors)


def test_each_flipped_bit_of_the_manifest_is_noticed(folder: Path, tiny_backbone: Backbone) -> None:
    _, manifest = saved(folder, tiny_backbone)
    data = (folder / MANIFEST).read_bytes()
    undetected = []
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 7)
        (folder / MANIFEST).write_bytes(damaged)
        try:
            if read_manifest(folder) != manifest:
                undetected.append(bytes(damaged[max(0, place - 30) : place + 10]))
        except ArtifactError:
            continue
    assert undetected == []


def test_a_manifest_of_an_older_format_has_no_digest_of_itself(folder: Path, tiny_backbone: Backbone) -> None:
    soft_prompt, _ = saved(folder, tiny_backbone)
    change(folder, format_version=2)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, soft_prompt.vectors)

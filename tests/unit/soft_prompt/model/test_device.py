"""A device that is unknown or missing is refused before any weights are read, with the setting that works."""

from __future__ import annotations

import pytest
import torch

from soft_prompt import Backbone
from soft_prompt.errors import BackboneError
from soft_prompt.model.device import available_devices, require_device


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda", "built"),
        ("cuda:9", "built"),
        ("mps", "no Metal"),
        ("gpu", "NVIDIA and AMD cards `cuda`"),
        ("gpu:0", "NVIDIA and AMD cards `cuda`"),
        ("meta", "holds no weights"),
        ("xpu", "PyTorch cannot use it here"),
        ("CPU", "did you mean 'cpu'"),
        ("warp", "does not know"),
        ("", "does not know"),
    ],
)
@pytest.mark.usefixtures("cpu_only")
def test_a_device_that_this_machine_lacks_names_the_setting_that_works(name: str, words: str) -> None:
    with pytest.raises(BackboneError) as caught:
        require_device(name)
    assert repr(name) in caught.value.found
    assert words in caught.value.found
    assert caught.value.expected == "one of cpu, the devices of this machine"
    assert caught.value.next_step.startswith("set `device: cpu` in domain.yaml")


@pytest.mark.parametrize(
    ("name", "setting"),
    [("gpu", "cuda"), ("gpu:1", "cuda:1"), ("gpu:7", "cuda"), ("cudo", "cuda"), ("cuda:9", "cuda"), ("mps", "cuda")],
)
@pytest.mark.usefixtures("two_gpus")
def test_a_machine_with_gpus_is_told_their_names(name: str, setting: str) -> None:
    with pytest.raises(BackboneError) as caught:
        require_device(name)
    assert caught.value.expected == "one of cuda, cuda:1, cpu, the devices of this machine"
    assert caught.value.next_step == f"set `device: {setting}` in domain.yaml"


@pytest.mark.usefixtures("two_gpus")
def test_existing_devices_are_accepted() -> None:
    assert require_device("cuda:1") == torch.device("cuda", 1)
    assert require_device("cpu") == torch.device("cpu")
    assert available_devices() == ["cuda", "cuda:1", "cpu"]


@pytest.mark.usefixtures("cpu_only")
def test_the_device_is_checked_before_the_backbone_is_looked_for() -> None:
    with pytest.raises(BackboneError, match="the device 'gpu'"):
        Backbone.load("/no/such/folder", device="gpu")

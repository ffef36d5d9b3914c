"""LangChain's own tests of a chat model, over a tiny random backbone."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from chains import SoftPromptChat
from soft_prompt import PrefixStore
from tests.contract.test_chat_model_integration import SKILL
from tests.contract.test_chat_model_integration import TestSoftPromptChatIntegration as IntegrationSuite
from tests.support.tiny_backbones import make_backbone


@cache
def tiny_store() -> PrefixStore:
    """The suite reads parameters from properties, which cannot use a fixture."""
    return PrefixStore(make_backbone())


class TestSoftPromptChat(ChatModelUnitTests):
    """No feature is switched off."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return SoftPromptChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"store": tiny_store(), "fills": {"domain": "Be brief."}}

    @pytest.mark.xfail(reason="the backbone is an argument; nothing is read from the environment", strict=True)
    def test_init_from_env(self) -> None:
        assert self.init_from_env_params[0]

    @pytest.mark.xfail(reason="a serialised chain cannot hold weights and vectors", strict=True)
    def test_serdes(self, model: BaseChatModel, snapshot: Any) -> None:
        assert self.chat_model_class.is_lc_serializable()


# Tests that cannot pass for a local backbone.
REPLACED = {"test_init_from_env", "test_serdes"}


@pytest.mark.parametrize(("suite", "collected"), [(TestSoftPromptChat, 10), (IntegrationSuite, 50)])
def test_no_test_of_a_suite_is_left_out(suite: type, collected: int, request: pytest.FixtureRequest) -> None:
    """Every test is collected, and none is skipped or replaced except by an expected failure with a reason."""
    own = {name for name in vars(suite) if name.startswith("test_")}
    for name in own:
        [mark] = [mark for mark in getattr(vars(suite)[name], "pytestmark", ()) if mark.name == "xfail"]
        assert mark.kwargs["reason"]
    assert own <= REPLACED | SKILL
    assert _collected(suite, request) == collected
    for name in ("has_tool_calling", "has_tool_choice", "has_structured_output", "returns_usage_metadata"):
        assert name not in vars(suite), f"{name} is switched off"


def _collected(suite: type, request: pytest.FixtureRequest) -> int:
    """The number of tests in a suite, counting parameters."""
    module = pytest.Module.from_parent(request.session, path=Path(sys.modules[suite.__module__].__file__ or ""))
    [collected] = [node for node in module.collect() if isinstance(node, pytest.Class) and node.name == suite.__name__]
    return len(list(collected.collect()))

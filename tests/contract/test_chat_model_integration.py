"""LangChain's own integration tests of a chat model, over the embedded backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from chains import SoftPromptChat
from soft_prompt import Backbone, PrefixStore

# Tests of features that exist, but need a more capable backbone.
SKILL = {"test_agent_loop"}


@pytest.mark.slow
class TestSoftPromptChatIntegration(ChatModelIntegrationTests):
    """No feature is switched off: text in, and text, tool calls or JSON out."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _load(cls) -> Iterator[None]:
        # In fp32, so that replies do not depend on the processor.
        cls.store = PrefixStore(Backbone.load(dtype=torch.float32))
        yield
        cls.store.close()
        del cls.store

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return SoftPromptChat

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"store": self.store, "max_tokens": 12, "call_tokens": 56}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "embedded"

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @pytest.mark.xfail(reason="a backbone this small rarely calls a tool by itself", strict=True)
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)

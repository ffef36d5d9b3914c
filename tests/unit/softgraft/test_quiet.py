"""Commands print no bars, warnings or log lines of other libraries, and show what ours log."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from softgraft.quiet import quiet_libraries


def test_warnings_and_log_lines_of_libraries_are_silenced(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "warnoptions", [])
    shown: list[str] = []
    with quiet_libraries(shown.append):
        # A library may put its own warnings before all filters.
        warnings.simplefilter("always")
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
        for library in ("transformers.modeling", "sentence_transformers", "faiss.loader", "huggingface_hub"):
            logging.getLogger(library).warning("said by a library")
        logging.getLogger("soft_prompt.model.weights").info("unpacking the backbone")
    assert shown == ["unpacking the backbone"]
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_afterwards_warnings_are_shown_and_nothing_is_passed_on() -> None:
    shown: list[str] = []
    with quiet_libraries(shown.append):
        pass
    logging.getLogger("soft_prompt").warning("later")
    assert shown == []
    with pytest.warns(FutureWarning, match="deprecated"):
        warnings.warn("deprecated", FutureWarning, stacklevel=1)


def test_settings_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "0")
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    with quiet_libraries(print):
        assert os.environ["TQDM_DISABLE"] == "0"
        assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"


def test_warnings_that_were_asked_for_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["always"])
    with pytest.warns(FutureWarning, match="wanted"):
        warn_quietly("wanted")


def warn_quietly(message: str) -> None:
    with quiet_libraries(print):
        warnings.simplefilter("always")
        warnings.warn(message, FutureWarning, stacklevel=1)

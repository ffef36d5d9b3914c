"""Keeps the output of a command to its own words: no progress bars, warnings or log lines of other libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SETTINGS = {
    # The tokenizer of the encoder warns about forks, and there are none.
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}
_LIBRARIES = (
    "accelerate", "faiss", "httpx", "huggingface_hub", "langchain", "langchain_core", "langgraph", "openai",
    "sentence_transformers", "torch", "transformers",
)  # fmt: skip
# What our packages say about work that takes long, such as unpacking the backbone, and about damaged files.
_OURS = ("soft_prompt", "retrieval", "softgraft")


@contextmanager
def quiet_libraries(show: Callable[[str], None]) -> Iterator[None]:
    """Within this context other libraries print errors only. `show` gets what our own packages log.

    Variables of the environment that the user has set stay as they are, and so do warnings with `python -W`. Enter it
    before the libraries are imported.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
    handler = _Shown(show)
    levels = {name: logging.getLogger(name).level for name in _OURS}
    for name in _OURS:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                # Some libraries put their warnings before all filters, so filters alone do not silence them.
                warnings.showwarning = lambda *_, **__: None
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)


class _Shown(logging.Handler):
    """Passes messages on."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record.getMessage())

"""Evaluation: test items, metrics, the compared systems and the report.

Builds on `chains`, `retrieval` and `prompts`, without LangChain. Other packages import the names below, and the
modules of text tasks (`task_items`, `task_scores`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

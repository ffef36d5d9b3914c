"""Garbage collections that do not hold up the callers."""

from __future__ import annotations

import gc


def exempt_loaded() -> None:
    """Exempt all objects that exist now from later garbage collections.

    Python's collector visits all objects of the process, which stands still meanwhile. The libraries and models of a
    server are some hundred thousand objects: they take a third of a second each time, and none of them is garbage.
    Objects that were exempt before are collected first, so that an earlier version of a domain does not stay in memory.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()

"""Garbage collections that do not hold up the callers."""

from __future__ import annotations

import gc


def exempt_loaded() -> None:
    """Exempt all objects that exist now from later garbage collections.

    Python's collector looks at all objects of the process and stops it meanwhile. The libraries and models of a server
    are some hundred thousand objects, which take a third of a second each time, and none of them is garbage. What was
    exempt before is collected first, so that an earlier version of a domain does not stay in memory.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()

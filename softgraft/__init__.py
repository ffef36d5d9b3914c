"""Graft a domain onto a frozen language model.

from softgraft import open_domain

bank = open_domain("domains/bank")
bank.ingest()
bank.train()
bank.chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgraft.domain import Domain, open_domain

__all__ = ["Domain", "__version__", "open_domain"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in ("Domain", "open_domain"):
        raise AttributeError(f"module 'softgraft' has no attribute {name!r}")
    from softgraft import domain

    return getattr(domain, name)

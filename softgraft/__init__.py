"""Graft a domain onto a frozen language model.

from softgraft import open_domain

bank = open_domain("domains/bank")
bank.ingest()
bank.train()
bank.chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})
"""

import lazy_loader

from softgraft.shadowing import is_command_line, require_own_packages

# The command line prints the error itself.
if not is_command_line():
    require_own_packages()

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

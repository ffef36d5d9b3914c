"""The LangChain interface, and the only package that imports LangChain. Names are imported on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

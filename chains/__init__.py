"""The LangChain interface: chat model, prompt template, embeddings, vector store, retriever, tool, middleware, and the
conversational graph with its memory.

Builds on `soft_prompt`, `retrieval` and `prompts`, and is the only package that imports LangChain. Names are imported
on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

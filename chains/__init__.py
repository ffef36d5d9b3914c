"""LangChain over the cores: chat model, prompt template, embeddings, vector store, retriever, and the conversational
graph with its memory.

Names load on first use, so importing the package costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

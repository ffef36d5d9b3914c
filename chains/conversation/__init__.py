"""The conversational graph, its memory, and the public chain `DomainChain`.

Imports `answering` and `messages`; `softgraft` builds on it.
"""

"""The conversational graph, its memory, and the public chain `DomainChain`."""

"""The conversational graph, its memory, and the chain that people call."""

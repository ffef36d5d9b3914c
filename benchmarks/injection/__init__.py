"""Instructions in retrieved passages: how often a model follows them, and a defence; and what a soft prompt reveals."""

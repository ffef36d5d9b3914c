"""Training a soft prompt: examples, loss, optimiser, checkpoints. Start with `training.train`."""

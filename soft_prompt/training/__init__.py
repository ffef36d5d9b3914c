"""Training a soft prompt: examples, loss, schedule, checkpoints. The public entry is `training.train`."""

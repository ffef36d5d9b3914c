"""Methods that differ from plain training in the examples, the loss, or what is trained; see docs/methods.md."""

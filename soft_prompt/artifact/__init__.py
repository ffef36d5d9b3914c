"""A saved soft prompt: `soft_prompt.safetensors` and `manifest.json`. Imports graft, model and rows."""

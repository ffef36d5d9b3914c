"""Text to token ids: the chat template's control text and the spans of a prompt. Needs no model."""

"""A prompt as token rows, batches of rows, and the stored keys and values of their prefixes."""

"""Tasks without a conversation as LangChain runnables: classification, summarisation, translation."""

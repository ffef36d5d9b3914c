"""Classification, summarisation and translation as LangChain runnables."""

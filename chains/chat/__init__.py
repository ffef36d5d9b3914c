"""`SoftPromptChat`, a LangChain chat model over a frozen backbone: calls, tools, structured output."""

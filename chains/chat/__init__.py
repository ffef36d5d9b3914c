"""`SoftPromptChat`, a LangChain chat model with a frozen backbone: streaming, tools, structured output.

Imports `messages`; `speakers`, `integrations` and `tasks` build on it.
"""

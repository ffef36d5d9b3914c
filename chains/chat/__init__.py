"""`SoftPromptChat`, a LangChain chat model with a frozen backbone: streaming, tools, structured output."""

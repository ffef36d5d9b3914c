"""Between LangChain messages and rendered prompts or answers; the only place where one becomes the other."""

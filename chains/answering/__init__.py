"""The steps from a question to a cited answer, without LangChain: query, evidence, history, prompt, citations."""

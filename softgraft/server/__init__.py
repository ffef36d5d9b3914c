"""`softgraft serve`: an OpenAI-compatible server for domains. Only this package imports FastAPI and uvicorn."""

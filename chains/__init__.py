"""LangChain over the cores: chat model, prompt template, embeddings, vector store, retriever, and the conversational
graph with its memory.

Names load on first use, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chains.answering import Answering, AnswerSettings, Evidence, TemplateFile, TextTwins
    from chains.chat_model import ChatGraft, SoftPromptChat
    from chains.citations import Citation, cite
    from chains.conversation import DomainChain
    from chains.conversations import Conversations
    from chains.embeddings import EmbeddingsEncoder, EncoderEmbeddings
    from chains.errors import (
        ChainError,
        CutReplyError,
        InputError,
        MemoryDamagedError,
        MemoryUnavailableError,
        RemoteModelError,
        UnknownThreadError,
    )
    from chains.faiss_store import FaissStore
    from chains.memory import ConversationMemory
    from chains.prompt_template import GraftPromptTemplate
    from chains.remote import remote_chat
    from chains.retriever import DomainRetriever
    from chains.speaker import LocalSpeaker, RemoteSpeaker, Speaker

_HOME = {
    "AnswerSettings": "answering",
    "Answering": "answering",
    "ChainError": "errors",
    "ChatGraft": "chat_model",
    "Citation": "citations",
    "ConversationMemory": "memory",
    "Conversations": "conversations",
    "CutReplyError": "errors",
    "DomainChain": "conversation",
    "DomainRetriever": "retriever",
    "EmbeddingsEncoder": "embeddings",
    "EncoderEmbeddings": "embeddings",
    "Evidence": "answering",
    "FaissStore": "faiss_store",
    "GraftPromptTemplate": "prompt_template",
    "InputError": "errors",
    "LocalSpeaker": "speaker",
    "MemoryDamagedError": "errors",
    "MemoryUnavailableError": "errors",
    "RemoteModelError": "errors",
    "RemoteSpeaker": "speaker",
    "SoftPromptChat": "chat_model",
    "Speaker": "speaker",
    "TemplateFile": "answering",
    "TextTwins": "answering",
    "UnknownThreadError": "errors",
    "cite": "citations",
    "remote_chat": "remote",
}

__all__ = [
    "AnswerSettings",
    "Answering",
    "ChainError",
    "ChatGraft",
    "Citation",
    "ConversationMemory",
    "Conversations",
    "CutReplyError",
    "DomainChain",
    "DomainRetriever",
    "EmbeddingsEncoder",
    "EncoderEmbeddings",
    "Evidence",
    "FaissStore",
    "GraftPromptTemplate",
    "InputError",
    "LocalSpeaker",
    "MemoryDamagedError",
    "MemoryUnavailableError",
    "RemoteModelError",
    "RemoteSpeaker",
    "SoftPromptChat",
    "Speaker",
    "TemplateFile",
    "TextTwins",
    "UnknownThreadError",
    "cite",
    "remote_chat",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'chains' has no attribute {name!r}")
    return getattr(import_module(f"chains.{_HOME[name]}"), name)

"""LangChain over the cores: chat model, prompt template, embeddings, vector store, retriever, and the conversational
graph with its memory.

Names load on first use, so importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chains.answer_messages import AnswerMessages, answer_message, thread_messages
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
    from chains.middleware import GraftMiddleware
    from chains.prompt_template import GraftPromptTemplate
    from chains.remote import remote_chat
    from chains.retriever import DomainRetriever
    from chains.search_tool import evidence_tool
    from chains.speaker import LocalSpeaker, RemoteSpeaker, Speaker

_HOME = {
    "AnswerMessages": "answer_messages",
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
    "GraftMiddleware": "middleware",
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
    "answer_message": "answer_messages",
    "cite": "citations",
    "evidence_tool": "search_tool",
    "remote_chat": "remote",
    "thread_messages": "answer_messages",
}

__all__ = [
    "AnswerMessages",
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
    "GraftMiddleware",
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
    "answer_message",
    "cite",
    "evidence_tool",
    "remote_chat",
    "thread_messages",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'chains' has no attribute {name!r}")
    return getattr(import_module(f"chains.{_HOME[name]}"), name)

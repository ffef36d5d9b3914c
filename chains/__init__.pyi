from .answering.answering import Answering, AnswerSettings
from .answering.citations import Citation, cite
from .answering.evidence import Evidence
from .answering.speaker import Speaker
from .chat.chat_model import ChatGraft, SoftPromptChat
from .conversation.chain import DomainChain
from .conversation.conversations import Conversations
from .conversation.memory import ConversationMemory
from .errors import (
    ChainError,
    ClosedError,
    CutReplyError,
    ErasureIncompleteError,
    InputError,
    MemoryDamagedError,
    MemoryUnavailableError,
    RemoteModelError,
    UnknownThreadError,
)
from .integrations.embeddings import EmbeddingsEncoder, EncoderEmbeddings
from .integrations.faiss_store import FaissStore
from .integrations.middleware import GraftMiddleware
from .integrations.retriever import DomainRetriever
from .integrations.search_tool import evidence_tool
from .messages.answer_messages import AnswerMessages, answer_message, thread_messages
from .messages.prompt_template import GraftPromptTemplate
from .speakers.remote import remote_chat
from .speakers.speakers import LocalSpeaker, RemoteSpeaker

__all__ = [
    "AnswerMessages",
    "AnswerSettings",
    "Answering",
    "ChainError",
    "ChatGraft",
    "Citation",
    "ClosedError",
    "ConversationMemory",
    "Conversations",
    "CutReplyError",
    "DomainChain",
    "DomainRetriever",
    "EmbeddingsEncoder",
    "EncoderEmbeddings",
    "ErasureIncompleteError",
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
    "UnknownThreadError",
    "answer_message",
    "cite",
    "evidence_tool",
    "remote_chat",
    "thread_messages",
]

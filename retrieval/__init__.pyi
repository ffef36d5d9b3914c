from .conversion.convert import convert_file
from .conversion.limits import Limits
from .documents import Document, Passage, RankedPassage
from .encoders.cross_encoder import PairScorer, load_reranker
from .encoders.encoder import Encoder
from .encoders.load import load_encoder
from .errors import (
    ConversionError,
    EncoderError,
    FilterError,
    IndexDamagedError,
    IndexMismatchError,
    NoDocumentsError,
    NotIngestedError,
    RecordError,
    RerankerError,
    RetrievalError,
    UnknownDocumentError,
)
from .ingestion.ingest import IngestProgress, IngestReport, ingest, plan_ingest
from .ranking.evidence_score import EvidenceScale, fit_scale
from .ranking.index import Index, open_index
from .ranking.scale_files import load_scale, save_scale
from .records.record import Record
from .records.records import RecordIndex, ScoredRecord
from .splitting.split import split_document
from .store.store import PassageStore

__all__ = [
    "ConversionError",
    "Document",
    "Encoder",
    "EncoderError",
    "EvidenceScale",
    "FilterError",
    "Index",
    "IndexDamagedError",
    "IndexMismatchError",
    "IngestProgress",
    "IngestReport",
    "Limits",
    "NoDocumentsError",
    "NotIngestedError",
    "PairScorer",
    "Passage",
    "PassageStore",
    "RankedPassage",
    "Record",
    "RecordError",
    "RecordIndex",
    "RerankerError",
    "RetrievalError",
    "ScoredRecord",
    "UnknownDocumentError",
    "convert_file",
    "fit_scale",
    "ingest",
    "load_encoder",
    "load_reranker",
    "load_scale",
    "open_index",
    "plan_ingest",
    "save_scale",
    "split_document",
]

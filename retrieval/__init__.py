"""Documents to passages to ranked evidence, over FAISS and SQLite; usable alone.

    encoder = load_encoder()
    ingest(Path("docs"), Path("build/index"), encoder)
    with open_index(Path("build/index"), encoder) as index:
        for found in index.search("How long do I have to dispute a payment?"):
            print(found.passage.doc_id, found.passage.start, found.passage.text)

Importing this loads neither torch nor FAISS; what needs them imports them.
"""

from retrieval.convert import convert_file
from retrieval.cross_encoder import PairScorer, load_reranker
from retrieval.documents import Document, Passage, RankedPassage
from retrieval.encoder import Encoder, load_encoder
from retrieval.errors import (
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
)
from retrieval.evidence_score import EvidenceScale, fit_scale, load_scale, save_scale
from retrieval.ingest import ingest, plan_ingest
from retrieval.ingest_report import IngestProgress, IngestReport
from retrieval.limits import Limits
from retrieval.record_text import Record
from retrieval.records import RecordIndex, ScoredRecord
from retrieval.search import Index, IndexStats, open_index
from retrieval.split import split_document
from retrieval.store import PassageStore

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
    "IndexStats",
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

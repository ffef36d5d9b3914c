from .counts import DayCounts, per_day
from .entry import EvidenceSpan, Feedback, Rating
from .store import StoredFeedback, entries, entry_of, read_feedback, record, withdraw

__all__ = [
    "DayCounts",
    "EvidenceSpan",
    "Feedback",
    "Rating",
    "StoredFeedback",
    "entries",
    "entry_of",
    "per_day",
    "read_feedback",
    "record",
    "withdraw",
]

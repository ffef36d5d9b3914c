"""A tokenizer for data, apart from the one that its owner has.

Whether control tokens that are written out in a text are taken apart is a setting of the tokenizer itself, which a
call sets and leaves set. Two threads that share one would meet each other's: a document's `<|im_end|>` would end the
message. So data has a copy, in which the setting never changes.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

_copies: MutableMapping[Any, Any] = WeakKeyDictionary()
_making = threading.Lock()


def data_tokenizer(tokenizer: Any) -> Any:
    """The copy of a fast tokenizer that data is read with, made once. Call it with `split_special_tokens=True`."""
    with _making:
        if tokenizer not in _copies:
            made = copy.deepcopy(tokenizer)
            # The first call sets what every later one finds set.
            made.encode("", add_special_tokens=False, split_special_tokens=True)
            _copies[tokenizer] = made
        return _copies[tokenizer]

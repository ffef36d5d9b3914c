"""How likely known continuations of a prompt are: labels of a class, say.

The prompt runs once. The continuations are a tree of tokens, so what several begin with runs once too, and all tokens
of a level and more run together behind the prompt's keys and values, each seeing the prompt and its own beginning
(as in tree attention, Miao et al. 2023, arXiv:2305.09781). A beginning that is already less likely than the best whole
continuation cannot become likelier, so its ends need not be run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.kv_cache import dynamic_cache
from soft_prompt.model.optimized import optimized
from soft_prompt.rows.batch import assemble
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row

# Nodes of one row that run together. More would run what the next round might rule out.
_AT_ONCE = 24
# Nats. A beginning that is further behind the likeliest one waits, since the next round might rule it out.
_NEAR = 2.0

Ids = tuple[int, ...]


@dataclass(frozen=True)
class _Tree:
    """Beginnings of the continuations, each once; node 0 is the empty one.

    Attributes:
        tokens, parents: of each node; those of node 0 mean nothing.
        children: of each node.
        ends: the node at which each continuation ends.
        below: of each node, the continuations that end at it or behind it.
        depths: tokens of each node's beginning.
    """

    tokens: list[int]
    parents: list[int]
    children: list[list[int]]
    ends: list[int]
    below: list[list[int]]
    depths: list[int]


@dataclass
class _Search:
    """What is known of one row's tree.

    Attributes:
        scores: log-likelihood of each beginning, nats; nan where its parent has not run.
        columns: of each node that has run, its place behind the prompt.
        waiting: nodes with a score and children that have not run.
    """

    row: int
    scores: list[float]
    columns: dict[int, int] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)


def score_continuations(
    store: PrefixStore,
    rows: Sequence[Row],
    continuations: Sequence[Ids],
    *,
    biases: Sequence[Sequence[float]] | None = None,
    within: float | None = None,
    batch_size: int = 16,
    on_row: Callable[[int], None] | None = None,
) -> Tensor:
    """Log-likelihoods of the same continuations behind each prompt.

    Args:
        store: prefix keys and values, and the frozen backbone.
        rows: encoded prompts.
        continuations: token ids, each other and none empty, with the end token where a continuation is to end there.
        biases: `[ways, continuations]`, what is added to the scores before they are compared; None adds nothing.
        within: nats. Continuations that are further than this from the best one, under each of the biases, are not
            run to their end, and get the likelihood of the beginning that ruled them out: never less than their own.
            None runs all.
        batch_size: prompts that run together.
        on_row: called with the number of prompts that are done.

    Returns:
        `[rows, continuations]`, fp32, nats, without gradient and without the biases.

    Raises:
        BackboneError: an encoder-decoder, a window of attention that is shorter than prompt and continuation, or
            continuations that are empty or alike.
        ContextError: prompt and continuation are longer than the backbone's context.
    """
    store.backbone.require_decoder_only("scores of labels")
    tree = _tree_of(continuations)
    added = torch.zeros((1, len(continuations))) if biases is None else torch.tensor(biases, dtype=torch.float32)
    # What a beginning may still gain: the most of any continuation behind it, a way each.
    gains = torch.stack([added[:, below].amax(dim=1) for below in tree.below], dim=1).tolist()
    found = torch.empty((len(rows), len(continuations)))
    order = sorted(range(len(rows)), key=lambda i: rows[i].length)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        searches = _run(store, [rows[i] for i in chosen], tree, gains, added.tolist(), within)
        for search in searches:
            found[chosen[search.row]] = torch.tensor([_known(search, tree, end) for end in tree.ends])
        if on_row is not None:
            on_row(first + len(chosen))
    return found


def _tree_of(continuations: Sequence[Ids]) -> _Tree:
    if not continuations or len(set(continuations)) < len(continuations) or not all(continuations):
        raise BackboneError(
            found=f"{len(continuations)} continuations, {len(set(continuations))} of them different, "
            f"{sum(not ids for ids in continuations)} empty",
            expected="at least one, each with a token and no two of the same tokens",
            next_step="give each label words of its own",
        )
    tree = _Tree([0], [0], [[]], [], [[]], [0])
    known: dict[Ids, int] = {(): 0}
    for number, ids in enumerate(continuations):
        tree.below[0].append(number)
        for length in range(1, len(ids) + 1):
            parent = known[ids[: length - 1]]
            node = known.setdefault(ids[:length], len(tree.tokens))
            if node == len(tree.tokens):
                tree.tokens.append(ids[length - 1])
                tree.parents.append(parent)
                tree.children.append([])
                tree.below.append([])
                tree.depths.append(length)
                tree.children[parent].append(node)
            tree.below[node].append(number)
        tree.ends.append(known[ids])
    return tree


def _run(
    store: PrefixStore,
    rows: Sequence[Row],
    tree: _Tree,
    gains: list[list[float]],
    biases: list[list[float]],
    within: float | None,
) -> list[_Search]:
    backbone = optimized(store.backbone, "own")
    longest = max(tree.depths)
    _require_wide_window(store, max(row.length for row in rows) + longest)
    searches = [_Search(n, [math.nan] * len(tree.tokens)) for n in range(len(rows))]
    with torch.no_grad():
        batch = assemble(store, rows, max_new_tokens=longest)
        cache = dynamic_cache(batch.layers())
        with apply_adapters(backbone, batch_adapters(backbone, [row.adapter for row in rows])):
            logits = backbone.model(
                inputs_embeds=batch.embeddings,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
        for search, row_logits in zip(searches, logits, strict=True):
            search.scores[0] = 0.0
            _take(search, tree, [0], row_logits)
        prompt, live = batch.mask.bool(), list(searches)
        written = 0
        while True:
            chosen = [_next_nodes(search, tree, gains, biases, within) for search in live]
            keep = [number for number, nodes in enumerate(chosen) if nodes]
            if not keep:
                return searches
            if len(keep) < len(live):
                kept = torch.tensor(keep, device=prompt.device)
                live, chosen, prompt = [live[n] for n in keep], [chosen[n] for n in keep], prompt[kept]
                cache.batch_select_indices(kept)
            new = max(map(len, chosen))
            tokens, positions, mask = _level(rows, live, tree, chosen, prompt, written, new)
            with apply_adapters(backbone, batch_adapters(backbone, [rows[search.row].adapter for search in live])):
                logits = backbone.model(
                    input_ids=tokens,
                    # Added to the scores of attention, in the form that every kind of attention takes.
                    attention_mask=torch.zeros(mask.shape, dtype=backbone.dtype, device=mask.device).masked_fill_(
                        ~mask, torch.finfo(backbone.dtype).min
                    ),
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                ).logits
            written += new
            for search, nodes, row_logits in zip(live, chosen, logits, strict=True):
                _take(search, tree, nodes, row_logits)


def _next_nodes(
    search: _Search, tree: _Tree, gains: list[list[float]], biases: list[list[float]], within: float | None
) -> list[int]:
    """The beginnings to run next, those that may become the likeliest first; none where the rest is ruled out."""
    scores = search.scores
    if within is not None:
        best = [max((scores[e] + b for e, b in zip(tree.ends, bias, strict=True) if not math.isnan(scores[e])),
                    default=-math.inf) for bias in biases]  # fmt: skip
        open_nodes = [
            n for n in search.waiting if any(scores[n] + g[n] >= b - within for g, b in zip(gains, best, strict=True))
        ]
    else:
        open_nodes = search.waiting
    likely = {n: max(scores[n] + g[n] for g in gains) for n in open_nodes}
    least = max(likely.values(), default=0.0) - (math.inf if within is None else _NEAR)
    chosen = sorted((n for n in open_nodes if likely[n] >= least), key=lambda n: -likely[n])[:_AT_ONCE]
    taken = set(chosen)
    search.waiting = [n for n in search.waiting if n not in taken]
    return chosen


def _level(
    rows: Sequence[Row],
    live: Sequence[_Search],
    tree: _Tree,
    chosen: Sequence[Sequence[int]],
    prompt: Tensor,
    written: int,
    new: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and positions `[rows, new]`, and what each sees, bool `[rows, 1, new, prompt + written + new]`."""
    width = prompt.shape[1]
    tokens = torch.zeros((len(live), new), dtype=torch.int64)
    positions = torch.zeros((len(live), new), dtype=torch.int64)
    mask = torch.zeros((len(live), 1, new, width + written + new), dtype=torch.bool)
    # Padding sees the prompt too, since attention to nothing is not a number.
    mask[..., :width] = prompt.cpu()[:, None, None]
    for number, (search, nodes) in enumerate(zip(live, chosen, strict=True)):
        length = rows[search.row].length
        for at, node in enumerate(nodes):
            search.columns[node] = width + written + at
            tokens[number, at] = tree.tokens[node]
            positions[number, at] = length + tree.depths[node] - 1
            seen = node
            while seen:
                mask[number, 0, at, search.columns[seen]] = True
                seen = tree.parents[seen]
    device = prompt.device
    return tokens.to(device), positions.to(device), mask.to(device)


def _take(search: _Search, tree: _Tree, nodes: Sequence[int], logits: Tensor) -> None:
    """Score the children of nodes that have run. `logits`: `[at least as many, vocabulary]`."""
    for at, node in enumerate(nodes):
        children = tree.children[node]
        row = logits[at].float()
        told = (row[[tree.tokens[child] for child in children]] - row.logsumexp(dim=-1)).tolist()
        for child, value in zip(children, told, strict=True):
            search.scores[child] = search.scores[node] + value
            if tree.children[child]:
                search.waiting.append(child)


def _known(search: _Search, tree: _Tree, end: int) -> float:
    """A continuation's score, or that of the beginning that ruled it out."""
    while math.isnan(search.scores[end]):
        end = tree.parents[end]
    return search.scores[end]


def _require_wide_window(store: PrefixStore, length: int) -> None:
    config = store.backbone.model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is not None and window < length:
        raise BackboneError(
            found=f"a prompt and labels of {length} tokens, and {store.backbone.id!r} sees {window} at a time",
            expected="a window that takes in both",
            next_step="give shorter texts or fewer examples, or choose another backbone in domain.yaml",
        )

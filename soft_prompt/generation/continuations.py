"""Log-likelihoods of given continuations of a prompt, such as the labels of a class.

The prompt runs once. The continuations form a tree of tokens, so a beginning that several share runs once too. Many
nodes of the tree run together behind the prompt's keys and values; each sees the prompt and its ancestors (tree
attention, Miao et al. 2023, arXiv:2305.09781). A beginning that is less likely than the best complete continuation
cannot become more likely, so its descendants need not run.
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
from soft_prompt.rows.batch import assemble, require_batch_size
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row

# Maximum number of nodes per row and forward pass. More would include nodes that this pass may rule out.
_MAX_NODES = 24
# Nats. A beginning that is further than this behind the most likely one waits, since this pass may rule it out.
_LOOKAHEAD = 2.0

Ids = tuple[int, ...]


@dataclass(frozen=True)
class _Tree:
    """The continuations as a prefix tree, and how they are compared. Node 0 is the root, the empty beginning.

    Attributes:
        tokens, parents: of each node; unused for the root.
        children: of each node.
        depths: number of tokens from the root to each node.
        ends: the node at which each continuation ends.
        biases: per alternative, of each continuation.
        gains: per alternative and node, the largest bias that the beginning can still get.
        within: as in `score_continuations`.
    """

    tokens: list[int]
    parents: list[int]
    children: list[list[int]]
    depths: list[int]
    ends: list[int]
    biases: list[list[float]]
    gains: list[list[float]]
    within: float | None


@dataclass
class _Search:
    """Progress in one row's tree.

    Attributes:
        row: number of the row in the batch.
        scores: log-likelihood of each node's beginning in nats; nan if its parent has not run.
        columns: of each node that has run, its position in the cache.
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
        store: prefix keys and values, and the backbone.
        rows: the encoded prompts.
        continuations: token ids, distinct and not empty; with the end token if a continuation must end there.
        biases: `[alternatives, continuations]`, added to the scores before they are compared; None adds nothing.
        within: nats. Continuations that are further than this from the best one, under every alternative of the
            biases, are not run to their end. They get the likelihood of the beginning that ruled them out, which is
            never less than their own. None runs all.
        batch_size: number of prompts that run together.
        on_row: called with the number of finished prompts.

    Returns:
        `[rows, continuations]`, fp32, nats, without gradient and without the biases.

    Raises:
        BackboneError: if the backbone is an encoder-decoder, its attention window is shorter than prompt and
            continuation, or continuations are empty or equal.
        ContextError: if prompt and continuation are longer than the backbone's context.
        SoftPromptError: if `batch_size` is below 1.
    """
    store.backbone.require_decoder_only("scores of labels")
    require_batch_size(batch_size)
    tree = _tree_of(continuations, biases, within)
    scores = torch.empty((len(rows), len(continuations)))
    order = sorted(range(len(rows)), key=lambda i: rows[i].length)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        for search in _run(store, [rows[i] for i in chosen], tree):
            scores[chosen[search.row]] = torch.tensor([_score_or_bound(search, tree, end) for end in tree.ends])
        if on_row is not None:
            on_row(first + len(chosen))
    return scores


def _tree_of(continuations: Sequence[Ids], biases: Sequence[Sequence[float]] | None, within: float | None) -> _Tree:
    if not continuations or len(set(continuations)) < len(continuations) or not all(continuations):
        raise BackboneError(
            found=f"{len(continuations)} continuations, {len(set(continuations))} of them different, "
            f"{sum(not ids for ids in continuations)} empty",
            expected="at least one continuation, none empty and no two equal",
            next_step="give each label different words",
        )
    # Of each beginning, the continuations that start with it.
    below: dict[Ids, list[int]] = {}
    for number, ids in enumerate(continuations):
        for length in range(len(ids) + 1):
            below.setdefault(ids[:length], []).append(number)
    nodes = {ids: node for node, ids in enumerate(below)}
    parents = [nodes[ids[:-1]] for ids in nodes]
    children: list[list[int]] = [[] for _ in nodes]
    for node, parent in enumerate(parents[1:], 1):
        children[parent].append(node)
    added = torch.zeros((1, len(continuations))) if biases is None else torch.tensor(biases, dtype=torch.float32)
    return _Tree(
        tokens=[ids[-1] if ids else 0 for ids in nodes],
        parents=parents,
        children=children,
        depths=list(map(len, nodes)),
        ends=[nodes[ids] for ids in continuations],
        biases=added.tolist(),
        gains=torch.stack([added[:, numbers].amax(dim=1) for numbers in below.values()], dim=1).tolist(),
        within=within,
    )


def _run(store: PrefixStore, rows: Sequence[Row], tree: _Tree) -> list[_Search]:
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
            _score_children(search, tree, [0], row_logits)
        prompt, live = batch.mask.bool(), list(searches)
        cached_nodes = 0
        while True:
            chosen = [_next_nodes(search, tree) for search in live]
            keep = [number for number, nodes in enumerate(chosen) if nodes]
            if not keep:
                return searches
            if len(keep) < len(live):
                kept = torch.tensor(keep, device=prompt.device)
                live, chosen, prompt = [live[n] for n in keep], [chosen[n] for n in keep], prompt[kept]
                cache.batch_select_indices(kept)
            new = max(map(len, chosen))
            tokens, positions, mask = _tree_inputs(rows, live, tree, chosen, prompt, cached_nodes, new)
            with apply_adapters(backbone, batch_adapters(backbone, [rows[search.row].adapter for search in live])):
                logits = backbone.model(
                    input_ids=tokens,
                    # An additive mask, which every attention implementation takes.
                    attention_mask=torch.zeros(mask.shape, dtype=backbone.dtype, device=mask.device).masked_fill_(
                        ~mask, torch.finfo(backbone.dtype).min
                    ),
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                ).logits
            cached_nodes += new
            for search, nodes, row_logits in zip(live, chosen, logits, strict=True):
                _score_children(search, tree, nodes, row_logits)


def _next_nodes(search: _Search, tree: _Tree) -> list[int]:
    """The nodes to run next, the most promising first; empty if all waiting nodes are ruled out."""
    scores, within, open_nodes = search.scores, tree.within, search.waiting
    if within is not None:
        # Per alternative, the score of the best complete continuation.
        best = [max((scores[e] + b for e, b in zip(tree.ends, bias, strict=True) if not math.isnan(scores[e])),
                    default=-math.inf) for bias in tree.biases]  # fmt: skip
        alternatives = list(zip(tree.gains, best, strict=True))
        open_nodes = [n for n in open_nodes if any(scores[n] + g[n] >= b - within for g, b in alternatives)]
    bounds = {n: max(scores[n] + g[n] for g in tree.gains) for n in open_nodes}
    lowest = max(bounds.values(), default=0.0) - (math.inf if within is None else _LOOKAHEAD)
    chosen = sorted((n for n in open_nodes if bounds[n] >= lowest), key=lambda n: -bounds[n])[:_MAX_NODES]
    removed = set(chosen)
    search.waiting = [n for n in search.waiting if n not in removed]
    return chosen


def _tree_inputs(
    rows: Sequence[Row],
    live: Sequence[_Search],
    tree: _Tree,
    chosen: Sequence[Sequence[int]],
    prompt: Tensor,
    cached_nodes: int,
    new: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and positions `[rows, new]` of the chosen nodes, and their mask, True where they attend.

    The mask is bool, `[rows, 1, new, prompt + cached nodes + new]`.
    """
    width = prompt.shape[1]
    tokens = torch.zeros((len(live), new), dtype=torch.int64)
    positions = torch.zeros((len(live), new), dtype=torch.int64)
    mask = torch.zeros((len(live), 1, new, width + cached_nodes + new), dtype=torch.bool)
    # Padding sees the prompt too, since attention to nothing gives NaN.
    mask[..., :width] = prompt.cpu()[:, None, None]
    for number, (search, nodes) in enumerate(zip(live, chosen, strict=True)):
        length = rows[search.row].length
        for at, node in enumerate(nodes):
            search.columns[node] = width + cached_nodes + at
            tokens[number, at] = tree.tokens[node]
            positions[number, at] = length + tree.depths[node] - 1
            ancestor = node
            while ancestor:
                mask[number, 0, at, search.columns[ancestor]] = True
                ancestor = tree.parents[ancestor]
    device = prompt.device
    return tokens.to(device), positions.to(device), mask.to(device)


def _score_children(search: _Search, tree: _Tree, nodes: Sequence[int], logits: Tensor) -> None:
    """Score the children of nodes that have run. `logits`: `[nodes or more, vocabulary]`."""
    for at, node in enumerate(nodes):
        children = tree.children[node]
        row = logits[at].float()
        log_probs = (row[[tree.tokens[child] for child in children]] - row.logsumexp(dim=-1)).tolist()
        for child, log_prob in zip(children, log_probs, strict=True):
            search.scores[child] = search.scores[node] + log_prob
            if tree.children[child]:
                search.waiting.append(child)


def _score_or_bound(search: _Search, tree: _Tree, end: int) -> float:
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
            expected="a window that is long enough for both",
            next_step="give shorter texts or fewer examples, or choose another backbone in domain.yaml",
        )

"""Runs vLLM for `decoding.py`, in an environment of its own: `python vllm_worker.py MODEL_FOLDER`.

Each line of standard input is a JSON object with `rows`, lists of token ids, and `tokens`, the number of tokens per
reply. Each line of standard output is the number of seconds that they took. Prefixes that several prompts share are
cached.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Answer requests until the input ends."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ["HF_HUB_OFFLINE"] = "1"
    # vLLM writes to standard output; the results go to a copy of it.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from vllm import LLM, SamplingParams

    model = LLM(model=sys.argv[1], dtype=sys.argv[2], max_model_len=2048, enable_prefix_caching=True, seed=0)
    results.write("ready\n")
    results.flush()
    for line in sys.stdin:
        request = json.loads(line)
        prompts = [{"prompt_token_ids": ids} for ids in request["rows"]]
        params = SamplingParams(max_tokens=request["tokens"], ignore_eos=True, temperature=0, detokenize=True)
        start = time.perf_counter()
        model.generate(prompts, params, use_tqdm=False)
        results.write(f"{time.perf_counter() - start}\n")
        results.flush()


if __name__ == "__main__":
    main()

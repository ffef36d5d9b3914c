"""Soft prompts for a frozen backbone: training, saving and generation.

The package works without LangChain and without an index. Names load on first use, so importing it costs nothing.

An example: the embedded model learns the format of a bank's answers and applies it to a fee that it has not seen.

>>> from prompts import SoftSegment
>>> from soft_prompt import Backbone, Decoding, PrefixStore, TrainConfig
>>> from soft_prompt import encode_prompt, from_text_twin, generate, prompt_of, train

The soft slot may be anywhere in the prompt. The text before it runs through the model once, in training and in serving,
so the slot goes behind the passage.

>>> def ask(passage, question):
...     return prompt_of("Answer from this text. ", passage, SoftSegment("bank"), user=question)
>>> fees = [("transfer", "12 pounds"), ("new card", "5 pounds"), ("copy of a statement", "3 pounds")]
>>> tasks = [(ask(f"Fee for a {of}: {fee}.", f"What does a {of} cost?"), f"FEE: {fee}") for of, fee in fees]

The vectors start as the embeddings of a text, the text twin, and are trained on pairs of a prompt and its answer.

>>> backbone = Backbone.load()
>>> store = PrefixStore(backbone)
>>> start = from_text_twin(backbone, "bank", "State the fee and nothing else.")
>>> config = TrainConfig(epochs=6, min_steps=6, batch_size=3, learning_rate=0.02, warmup_steps=2)
>>> result = train(store, start, tasks, tasks, config)
>>> result.dev_loss < 0.5 * result.start_loss
True

The trained soft prompt fills the slot of a new prompt.

>>> row = encode_prompt(backbone, ask("Fee for a loan: 40 pounds.", "What is the fee?"), {"bank": result.soft_prompt})
>>> reply, = generate(store, [row], Decoding(max_tokens=12))
>>> reply.text
'FEE: 40 pounds'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

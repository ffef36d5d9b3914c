"""Soft prompts for a frozen backbone: training at the cost of the answer, saving, and generation.

Usable alone, without LangChain or an index. Names load on first use, so importing the package costs nothing.

A whole program: the embedded model learns the form of a bank's answers and keeps to it for a fee that it reads for the
first time.

>>> from prompts import SoftSegment
>>> from soft_prompt import Backbone, Decoding, PrefixStore, TrainConfig
>>> from soft_prompt import encode_prompt, from_text_twin, generate, prompt_of, train

A prompt has a soft slot wherever one wants it. What stands before it runs through the model once, in training and in
serving, so the slot goes behind the passage.

>>> def ask(passage, question):
...     return prompt_of("Answer from this text. ", passage, SoftSegment("bank"), user=question)
>>> fees = [("transfer", "12 pounds"), ("new card", "5 pounds"), ("copy of a statement", "3 pounds")]
>>> tasks = [(ask(f"Fee for a {of}: {fee}.", f"What does a {of} cost?"), f"FEE: {fee}") for of, fee in fees]

The vectors start as the embeddings of a text, their text twin, and are trained on prompts and their answers.

>>> backbone = Backbone.load()
>>> store = PrefixStore(backbone)
>>> start = from_text_twin(backbone, "bank", "State the fee and nothing else.")
>>> result = train(store, start, tasks, tasks, TrainConfig(epochs=6, batch_size=3, learning_rate=0.02, warmup_steps=2))
>>> result.dev_loss < 0.5 * result.start_loss
True

The trained prompt fills the slot of a prompt that it has not seen.

>>> row = encode_prompt(backbone, ask("Fee for a loan: 40 pounds.", "What is the fee?"), {"bank": result.soft_prompt})
>>> reply, = generate(store, [row], Decoding(max_tokens=12))
>>> reply.text
'FEE: 40 pounds'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

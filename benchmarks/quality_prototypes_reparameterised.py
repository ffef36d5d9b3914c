"""A `kv` soft prompt trained through a small residual network (Razdaibiedina et al. 2023, arXiv:2305.03937)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from quality_data import Question
from quality_prototypes_rows import PLAIN, RowPrototype, Start
from quality_systems import Where
from soft_prompt import PrefixStore, SoftPrompt
from soft_prompt.prompt import VECTORS
from soft_prompt.reparameterise import NETWORK, initial_network, reparameterised


class Reparameterised(RowPrototype):
    """What `TrainConfig.reparameterise` trains; the network is thrown away, so only the vectors count.

    Args:
        where: what it is trained for.
        network_rate: highest learning rate of the network.
    """

    def __init__(self, where: Where, network_rate: float = PLAIN.adapter_rate) -> None:
        super().__init__(where)
        self.network_rate = network_rate

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        network = initial_network(self.begun.vectors, "kv", self.where.seed)
        return {name: (tensor, self.network_rate) for name, tensor in network.items()}

    def now(self, step: int | None) -> SoftPrompt:
        network = {name: self.tensors[name] for name in NETWORK}
        return self.begun.with_tensors({VECTORS: reparameterised(self.tensors[VECTORS], "kv", network)})

    def kept(self) -> dict[str, Tensor]:
        return {VECTORS: self.now(None).vectors.contiguous()}


class Longer(RowPrototype):
    """Two epochs of a `kv` soft prompt, for which it is given two and a half times the seconds."""

    epochs = 2

    def seconds(self, given: float) -> float:
        return 2.5 * given

"""Adam-mini: Adam with one second moment a block."""

from ravine.core.paths import Labels, Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.mini import ScaleByAdamMini
from ravine.transforms.scale import ScaleByLearningRate


@rule
class AdamMini(Optimizer):
    r"""AdamW with one second moment a block, which saves almost half of its memory.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\,\mathrm{mean}_{\text{block}} |g_t|^2, \\
        \theta_t &= \theta_{t-1} - \eta_t \left( \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}
            + \lambda\,\theta_{t-1} \right).

    The authors' blocks are the attention heads of queries and keys, the output neurons of
    other matrices, and the tokens of embeddings: which axis these lie along depends on the
    model, so say so in ``blocks``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.
        blocks: what a block is: ``"tensor"`` for a leaf as a whole, ``"element"`` for none,
            as in ``Adam``, or the number of the axis along which the blocks lie: -1 for the
            output neurons of a kernel, 0 for the tokens of an embedding. One for all leaves,
            or a dict from globs over paths, or any other labels that ``Partition`` takes.

    Raises:
        ValueError: if a number lies outside its range; at init, if the
            blocks do not fit the parameters; at update, without them, or if the
            mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Zhang et al., Adam-mini: use fewer learning rates to gain more, 2024,
    https://arxiv.org/abs/2406.16793.

    >>> import jax.numpy as jnp
    >>> optimizer = AdamMini(learning_rate=0.1, blocks={"*kernel": -1, "*": "tensor"})
    >>> state = optimizer.init({"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)})
    >>> state.scale_by_adam_mini.nu["kernel"].shape
    (1, 3)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    blocks: Static[Labels] = "tensor"

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdamMini(self.b1, self.b2, self.eps, self.blocks),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )

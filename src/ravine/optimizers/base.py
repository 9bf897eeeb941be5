"""What every optimizer is: fields, and the chain that they abbreviate."""

from typing import Any

from ravine.core.errors import check_matches
from ravine.core.types import Params, Standing, State, Transform, Updates
from ravine.transforms.chain import Chain


class Optimizer(Transform):
    """A complete transform: adding its updates to the parameters is one step downhill."""

    def as_chain(self) -> Chain:
        """The chain of transforms that this optimizer abbreviates."""
        raise NotImplementedError

    def parts(self) -> tuple[Transform, ...]:
        return self.as_chain().parts()

    def init(self, params: Params) -> State:
        return self.as_chain().init(params)

    def eval_params(self, state: State, params: Params) -> Params:
        return self.as_chain().eval_params(state, params)

    def standing(self, state: State, here: Standing) -> Standing:
        return self.as_chain().standing(state, here)

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        if params is not None:
            check_matches("the gradients", updates, "params", params)
        return self.as_chain().update(updates, state, params, **extra)

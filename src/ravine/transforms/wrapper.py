"""What a transform around another one passes on to it."""

from typing import Any

from ravine.core.types import Params, Standing, Transform


class Wrapper(Transform):
    """A transform around ``inner``, whose state is the field ``inner_state`` of its own."""

    inner: Transform

    def eval_params(self, state: Any, params: Params) -> Params:
        return self.inner.eval_params(state.inner_state, params)

    def standing(self, state: Any, here: Standing) -> Standing:
        return self.inner.standing(state.inner_state, here)

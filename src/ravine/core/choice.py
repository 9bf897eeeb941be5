"""Fields that hold one of a few words."""

from ravine.core.types import Canonical


def one_of(*words: str) -> Canonical:
    """Says in an annotation which words a field takes.

    Write ``Annotated[str, STATIC, one_of("a", "b")]``.
    """

    def check(x: str) -> str:
        if x not in words:
            raise TypeError(f"it must be one of {', '.join(map(repr, words))}")
        return x

    return Canonical(check)

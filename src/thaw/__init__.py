"""thaw turns a comparison of diffusion models into a reproducible report.

`thaw.load` gives a trained variant as an object:

    >>> import thaw
    >>> model = thaw.load("ddpm-linear")  # doctest: +SKIP
    >>> model.sample(64, seed=0).shape  # doctest: +SKIP
    torch.Size([64, 1, 28, 28])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thaw.loading import load as load


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, and the report, for one, does without it.
    if name == "load":
        from thaw.loading import load

        return load
    raise AttributeError(f"module 'thaw' has no attribute {name!r}")

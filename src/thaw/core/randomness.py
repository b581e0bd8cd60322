"""Random numbers as a pure function of what they are for."""

import hashlib

import torch


def generator(*purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by its purpose, such as `generator("noise", seed, step)`.

    Every stream depends on its own key alone, so a resumed or reordered run draws the same numbers, and two
    purposes never share a stream because their seeds happen to be close.
    """
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)

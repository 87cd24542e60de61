"""Streams of random numbers: one for each part of a batch, which can be saved and go on exactly."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["Noise", "undisturbed"]

_APART = 1_000_003  # so that streams of neighbouring seeds do not meet


class Noise:
    """The states of the global generators for some parts of a batch, of which one is in force.

    Each part draws from a stream of its own, whichever process computes it. With a single part
    nothing is ever switched.

    Args:
        seed: Of all streams.
        parts: Numbers of the parts that this process computes.
        device: Where they are computed.
    """

    def __init__(self, seed: int, parts: list[int], device: torch.device) -> None:
        self.parts, self.device = parts, device
        self._states: dict[int, Tensor] = {}
        for part in reversed(parts):
            torch.manual_seed((seed + _APART * part) % 2**63)
            self._states[part] = self.current()
        self._active = parts[0]

    def current(self) -> Tensor:
        """Return the state of the generators that are in force, as bytes."""
        state = torch.get_rng_state()
        if self.device.type != "cuda":
            return state
        return torch.cat([state, torch.cuda.get_rng_state(self.device)])

    def make_current(self, state: Tensor) -> None:
        """Put a state in force."""
        size = len(torch.get_rng_state())
        torch.set_rng_state(state[:size])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state[size:], self.device)

    def switch(self, part: int) -> None:
        """Draw from the stream of a part from now on."""
        if part != self._active:
            self._states[self._active] = self.current()
            self.make_current(self._states[part])
            self._active = part

    def states(self) -> dict[int, Tensor]:
        """Return the state of every stream, by part."""
        return self._states | {self._active: self.current()}

    def restore(self, states: dict[int, Tensor]) -> None:
        """Go on from states."""
        self._states = {part: states[part] for part in self.parts}
        self.make_current(self._states[self._active])


@contextlib.contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Draw from a seed, and leave the global generators as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield

"""Finite groups of transformations, given by their table of products."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from .errors import ConfigError

__all__ = ["FiniteGroup"]

_LARGEST = 4096  # elements: the table of products has their square
_CANDIDATES = 2**25  # numbers that are looked at in search of automorphisms


class FiniteGroup:
    """Steps of a few transformations that close up: K_1 turns of 360 / K_1 degrees, say.

    An element takes k_i steps of each factor i. Elements are numbered in mixed radix, the last
    factor fastest; element 0 does nothing.

    Args:
        orders: Number K_i of steps after which each factor is back, at least 2.
        names: What the factors are called.
        turning: Whether the first of three factors turns the plane of the other two, translations
            by K steps each: a semidirect product, in which order matters. An element first turns,
            then translates.

    Attributes:
        steps: Number of steps of each factor.
        table: Product of each pair of elements: `table[a, b]` is first b, then a.
        inverse: Inverse of each element.

    Raises:
        ConfigError: An order is below 2, or these make no group.
    """

    def __init__(
        self, orders: Sequence[int], names: Sequence[str] = (), *, turning: bool = False
    ) -> None:
        self.orders = tuple(orders)
        self.names = tuple(names) or tuple(f"factor {i}" for i in range(len(self.orders)))
        self.turning = turning
        self._check()
        with torch.device("cpu"):
            counts = [torch.arange(order) for order in self.orders]
            self.steps: Int[Tensor, "element factor"] = torch.cartesian_prod(*counts).reshape(
                -1, len(self.orders)
            )
            second = self.steps.expand(len(self.steps), -1, -1)
            if turning:
                quarters = self.steps[:, 0] * (4 // self.orders[0])
                second = _seen_after_turns(second, quarters)
            self.table: Int[Tensor, "element element"] = self.index(
                self.steps.unsqueeze(1) + second
            )
            self.inverse: Int[Tensor, " element"] = (self.table == 0).byte().argmax(-1)

    def _check(self) -> None:
        orders = self.orders
        if not orders or min(orders) < 2 or math.prod(orders) > _LARGEST:
            raise ConfigError(
                f"Found a group with orders={orders}; expected one or more numbers K of steps, "
                f"each at least 2 (K = 1 moves nothing), with at most {_LARGEST} elements in all."
            )
        if len(self.names) != len(orders):
            raise ConfigError(
                f"Found orders={orders}, but the names {self.names}. Name each factor."
            )
        if self.turning and not (
            len(orders) == 3 and orders[0] in (2, 4) and orders[1] == orders[2]
        ):
            raise ConfigError(
                f"Found orders={orders} for turns and two translations; expected (4, K, K) or "
                "(2, K, K), since only turns by right angles carry steps into steps."
            )

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def labels(self) -> list[str]:
        """Name each element by its steps: `rotation 3/10` is three tenths of a full turn."""
        return [
            ", ".join(
                f"{name} {step}/{order}"
                for name, step, order in zip(self.names, steps, self.orders, strict=True)
            )
            for steps in self.steps.tolist()
        ]

    def index(self, steps: Int[Tensor, "*batch factor"]) -> Int[Tensor, "*batch"]:
        """Return the number of the element that takes so many steps of each factor."""
        number = torch.zeros_like(steps[..., 0])
        for order, step in zip(self.orders, steps.unbind(-1), strict=True):
            number = number * order + step % order
        return number

    def powers(self, count: int) -> Int[Tensor, "element power"]:
        """Return what each element comes to when it acts 0, 1, … `count` - 1 times."""
        powers = [torch.zeros_like(self.inverse)]
        while len(powers) < count:
            powers.append(self.table.gather(1, powers[-1].unsqueeze(1)).squeeze(1))
        return torch.stack(powers, -1)

    def automorphisms(self) -> Int[Tensor, "automorphism element"]:
        """Return all relabellings of the elements that keep every product.

        An element that is inferred without labels is known up to one of these at best: nothing in
        the data tells one step from three, if the world's steps are counted in threes too.

        Raises:
            ConfigError: There are too many to try.
        """
        powers = self.powers(max(self.orders) + 1)
        # The images of the generators decide, and each has the order of its generator.
        choices = [(powers[:, order] == 0).nonzero()[:, 0] for order in self.orders]
        if math.prod(map(len, choices)) * len(self) > _CANDIDATES:
            raise ConfigError(
                f"A group with orders {self.orders} has too many relabellings to try them all. "
                "Compare its factors one by one."
            )
        images = torch.cartesian_prod(*choices).reshape(-1, len(self.orders))
        found = torch.zeros(len(images), len(self), dtype=torch.long)
        factors = range(len(self.orders))
        for i in (0, *reversed(factors[1:])):  # what acts later stands on the left
            part = powers[images[:, i].unsqueeze(1), self.steps[:, i]]
            found = self.table[part, found]
        found = found[(found.sort(-1).values == self.table[0]).all(-1)]
        for generator in self.index(torch.eye(len(factors), dtype=torch.long)).tolist():
            product = self.table[found[:, generator].unsqueeze(1), found]
            found = found[(found[:, self.table[generator]] == product).all(-1)]
        return found


def _seen_after_turns(
    steps: Int[Tensor, "turn element 3"], quarters: Int[Tensor, " turn"]
) -> Int[Tensor, "turn element 3"]:
    """Return steps whose translations are turned counter-clockwise, with y downwards."""
    turn, x, y = steps.unbind(-1)
    cosine = torch.tensor([1, 0, -1, 0])[quarters].unsqueeze(-1)
    sine = torch.tensor([0, 1, 0, -1])[quarters].unsqueeze(-1)
    return torch.stack([turn, cosine * x + sine * y, cosine * y - sine * x], -1)

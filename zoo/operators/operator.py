"""What every operator on latent space offers."""

import abc

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..finite_group import FiniteGroup

__all__ = ["AbstractOperator"]


class AbstractOperator(nn.Module, abc.ABC):
    """A representation psi of a group: `psi(a) psi(b) = psi(a b)`, and lengths stay.

    Args:
        group: The group.
        latent_dim: Dimension of the latent space.
    """

    def __init__(self, group: FiniteGroup, latent_dim: int) -> None:
        super().__init__()
        self.group, self.latent_dim = group, latent_dim

    @abc.abstractmethod
    def forward(
        self, latent: Float[Tensor, "*#batch latent"], element: Int[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch latent"]:
        """Return psi(element) latent."""

    def products(
        self, latent: Float[Tensor, "*batch latent"], rows: Float[Tensor, "row latent"]
    ) -> Float[Tensor, "*batch element row"]:
        """Return `rows psi(k) latent` for every element k.

        Operators with a Fourier form do so at the cost of a few elements, however many there are.
        """
        return self(latent.unsqueeze(-2), self.elements(latent)) @ rows.T

    def elements(self, like: Tensor) -> Int[Tensor, " element"]:
        """Return the number of each element, on the device of a tensor."""
        return torch.arange(len(self.group), device=like.device)

    def correlation(
        self, first: Float[Tensor, "*#batch latent"], second: Float[Tensor, "*#batch latent"]
    ) -> Float[Tensor, "*batch element"]:
        """Return how well each element carries the first latent to the second, from -1 to 1.

        This is the cosine between the two. Operators with a Fourier form have a sharper answer.
        """
        carried = self(first.unsqueeze(-2), self.elements(first))
        return torch.cosine_similarity(carried, second.unsqueeze(-2), dim=-1)

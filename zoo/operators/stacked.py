"""Several transformations, each with an operator of its own in coordinates that are learned."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..finite_group import FiniteGroup
from .operator import AbstractOperator
from .phase import PhaseOperator, planes_of

__all__ = ["StackedOperator"]


class StackedOperator(AbstractOperator):
    """`psi(k) = psi_n(k_n) … psi_2(k_2) psi_1(k_1)`, where `psi_i = U_i' phases_i U_i`.

    Each factor is represented exactly, in a basis of its own. Whether factors commute, or turn each
    other's steps, is left to the orthogonal matrices U to learn; the first is the identity, since
    the encoder can learn it. All begin near it, where factors commute.

    Bouchacourt, Ibrahim and Deny 2021 (arXiv:2102.05623) put any linear maps between operators.
    With these, doing nothing was something, and every product depended on what came before.

    Args:
        group: The group, turning or not: elements first take steps of the first factor.
        latent_dim: A multiple of twice the product of the orders.

    Raises:
        ConfigError: It is not.
    """

    def __init__(self, group: FiniteGroup, latent_dim: int) -> None:
        super().__init__(group, latent_dim)
        copies = planes_of(latent_dim, len(group)) // len(group)
        plain = FiniteGroup(group.orders)
        frequencies = plain.steps.repeat_interleave(copies, 0)
        only = torch.eye(len(group.orders), dtype=torch.long, device="cpu")
        self.parts = nn.ModuleList(PhaseOperator(plain, frequencies * row) for row in only)
        self.skew = nn.ParameterList(
            nn.Parameter(torch.randn(latent_dim, latent_dim) * 1e-3) for _ in only[1:]
        )
        radix = group.index(only)
        steps = (group.steps * radix).to(torch.get_default_device())
        self.register_buffer("part_of", steps, persistent=False)

    part_of: Tensor

    def bases(self) -> list[Float[Tensor, "latent latent"]]:
        """Return the orthogonal matrices of all factors but the first, by Cayley's map."""
        found = []
        for parameter in self.skew:
            skew = parameter - parameter.T
            one = torch.eye(self.latent_dim, device=skew.device, dtype=skew.dtype)
            found.append(torch.linalg.solve(one + skew, one - skew))
        return found

    def forward(
        self, latent: Float[Tensor, "*#batch latent"], element: Int[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch latent"]:
        """Return psi(element) latent."""
        part = self.part_of[element]
        latent = self.parts[0](latent, part[..., 0])
        for i, basis in enumerate(self.bases(), start=1):
            latent = self.parts[i](latent @ basis.T, part[..., i]) @ basis
        return latent

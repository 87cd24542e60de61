"""The reference's rotational form: a free vector field whose divergence is only penalised."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .flow import AbstractField, AbstractFlow, require_positive

__all__ = ["PenalisedField"]


class PenalisedField(AbstractField):
    """K free fields `r_k = tanh(W2_k tanh(W1_k z + b1_k) + b2_k)`, kept as the published option.

    Nothing makes them divergence-free: training adds their mean squared divergence to the loss
    (Song et al. 2024, as in the authors' code). The divergence is the closed form
    `s2' (W2 * W1') s1` with `s` the slopes of the two layers, where the authors trace a Jacobian.

    Args:
        num_fields: Number K of fields.
        latent_dim: Dimension D of the latent space.
        hidden_dim: Width H of the inner layer.
    """

    def __init__(self, num_fields: int, latent_dim: int, hidden_dim: int = 32) -> None:
        super().__init__()
        require_positive(num_fields=num_fields, latent_dim=latent_dim, hidden_dim=hidden_dim)
        self.num_fields, self.latent_dim = num_fields, latent_dim
        inner, outer = (num_fields, hidden_dim, latent_dim), (num_fields, latent_dim, hidden_dim)
        self.inner_weight = nn.Parameter(torch.randn(inner) / math.sqrt(latent_dim))
        self.inner_bias = nn.Parameter(torch.zeros(num_fields, hidden_dim))
        self.outer_weight = nn.Parameter(torch.randn(outer) * 0.3 / math.sqrt(hidden_dim))
        self.outer_bias = nn.Parameter(torch.zeros(num_fields, latent_dim))

    def flow(self) -> "PenalisedFlow":
        """Return the fields, ready for transport."""
        return PenalisedFlow(self)


class PenalisedFlow(AbstractFlow):
    """The fields of a `PenalisedField`."""

    def __init__(self, field: PenalisedField) -> None:
        self.num_fields, self.latent_dim = field.num_fields, field.latent_dim
        self._field = field

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The parameters of both layers."""
        return tuple(self._field.parameters())

    def _layers(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations `(*batch, K, H)` and `(*batch, K, D)` of the two layers."""
        field = self._field
        inner = torch.einsum("...d,khd->...kh", latent, field.inner_weight) + field.inner_bias
        hidden = torch.tanh(inner)
        outer = torch.einsum("...kh,kdh->...kd", hidden, field.outer_weight) + field.outer_bias
        return hidden, torch.tanh(outer)

    def each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field latent"]:
        """Return the velocity of every field; time does not enter."""
        del time
        return self._layers(latent)[1]

    def divergence_each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the divergence of every field, in closed form."""
        del time
        hidden, outer = self._layers(latent)
        coupling = self._field.outer_weight * self._field.inner_weight.mT
        slopes = 1 - outer.square(), 1 - hidden.square()
        return torch.einsum("...kd,kdh,...kh->...k", slopes[0], coupling, slopes[1])

    def velocity(
        self, latent: Tensor, time: Tensor, speed: Tensor
    ) -> Float[Tensor, "*batch latent"]:
        """Return the sum over fields of speed times velocity."""
        return (speed.unsqueeze(-2) @ self.each(latent, time)).squeeze(-2)

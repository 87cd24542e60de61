"""Ridge flows: K vector fields evaluated with two matrix products, whatever K.

Every field has the form `v_k(z, t) = M_k z + V_k^T tanh(W_k z + b_k + c_k t)`. Its divergence is
`tr M_k + sum_h (1 - tanh^2)_h (W_k . V_k)_h`, exactly. Potential and rotational fields differ only
in how they build `V` and `M` from their parameters. Speeds multiply the hidden units, so that the
second product also sums over fields.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .flow import AbstractFlow, SummedFlow

__all__ = ["RidgeFlow", "add_flows", "join_ridge_flows"]


class RidgeFlow(AbstractFlow):
    """K fields in ridge form, with H hidden units each.

    Args:
        inward: Directions `W` that the latent is projected on.
        bias: Offsets `b` of the projections.
        drift: Change `c` of the offsets per frame.
        outward: Directions `V` that the hidden units push along.
        linear: Linear part `M`.
    """

    def __init__(
        self,
        *,
        inward: Float[Tensor, "field hidden latent"],
        bias: Float[Tensor, "field hidden"],
        drift: Float[Tensor, "field hidden"],
        outward: Float[Tensor, "field hidden latent"],
        linear: Float[Tensor, "field latent latent"],
    ) -> None:
        self.num_fields, self.latent_dim = inward.shape[0], inward.shape[-1]
        self.inward, self.bias, self.drift = inward, bias, drift
        self.outward, self.linear = outward, linear
        self._project = inward.flatten(0, 1).T
        self._push = outward.flatten(0, 1)
        self._linear = linear.permute(2, 0, 1).flatten(1)
        self._alignment = (inward * outward).sum(-1)
        self._trace = linear.diagonal(dim1=-2, dim2=-1).sum(-1)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The folded parameters."""
        folded = self._project, self._push, self._linear, self._alignment, self._trace
        return self.bias, self.drift, *folded

    def hidden(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field hidden"]:
        """Return the activations `tanh(W z + b + c t)`."""
        offset = (self.bias + self.drift * time).flatten(-2)
        return torch.tanh(latent @ self._project + offset).unflatten(-1, self.bias.shape)

    def each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field latent"]:
        """Return the velocity of every field."""
        shape = (self.num_fields, latent.shape[-1])
        straight = (latent @ self._linear).unflatten(-1, shape)
        curved = self.hidden(latent, time).unsqueeze(-2) @ self.outward
        return straight + curved.squeeze(-2)

    def divergence_each(self, latent: Tensor, time: Tensor) -> Float[Tensor, "*batch field"]:
        """Return the divergence of every field."""
        slope = 1 - self.hidden(latent, time).square()
        return self._trace + (slope * self._alignment).sum(-1)

    def velocity(
        self, latent: Tensor, time: Tensor, speed: Tensor
    ) -> Float[Tensor, "*batch latent"]:
        """Return the sum over fields of speed times velocity."""
        shape = (self.num_fields, latent.shape[-1])
        straight = (latent @ self._linear).unflatten(-1, shape)
        gated = (speed.unsqueeze(-1) * self.hidden(latent, time)).flatten(-2)
        return (speed.unsqueeze(-2) @ straight).squeeze(-2) + gated @ self._push


def join_ridge_flows(first: RidgeFlow, second: RidgeFlow) -> RidgeFlow:
    """Return one flow whose k-th field is the sum of the k-th fields of two."""
    return RidgeFlow(
        inward=torch.cat([first.inward, second.inward], 1),
        bias=torch.cat([first.bias, second.bias], 1),
        drift=torch.cat([first.drift, second.drift], 1),
        outward=torch.cat([first.outward, second.outward], 1),
        linear=first.linear + second.linear,
    )


def add_flows(first: AbstractFlow, second: AbstractFlow) -> AbstractFlow:
    """Return the flow of the sums of the k-th fields of two, in ridge form where both have it."""
    if isinstance(first, RidgeFlow) and isinstance(second, RidgeFlow):
        return join_ridge_flows(first, second)
    return SummedFlow(first, second)

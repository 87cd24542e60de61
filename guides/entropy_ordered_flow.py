"""Guides of entropy-ordered flows: exact for the whole flow, local for its core."""

from dataclasses import dataclass

import pyro
import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution, TransformedDistribution
from torch import Tensor, nn

from ..zoo.config import AbstractConfig
from ..zoo.entropy_ordered_flow import DATUM, LATENT, EntropyOrderedFlow
from ..zoo.flow_core import FlowCore
from ..zoo.flows.jacobian import columns

__all__ = ["EntropyOrderedFlowGuide", "FlowCoreGuide"]


class EntropyOrderedFlowGuide(nn.Module):
    """Adds noise to the data and reads the latents off them: `z = f(x + noise * epsilon)`.

    Images of so many bits get uniform noise of their step. The guide has no parameters: f is the
    inverse of the model's own decoder.

    Args:
        model: The model whose latents it infers.
        config: It has no options.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """No options."""

    def __init__(self, model: EntropyOrderedFlow, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or self.Config()
        # In a tuple, so that parameters are the model's alone, and saved once.
        self._model = (model,)

    @property
    def model(self) -> EntropyOrderedFlow:
        """The model whose decoder it inverts."""
        return self._model[0]

    def latent_posterior(self, x: Float[Tensor, "..."]) -> TorchDistribution:
        """Return q(z | x), noise carried through the flow."""
        model = self.model
        data = model.flattened(x)
        if torch.is_grad_enabled() and not data.requires_grad and not data.is_inference():
            data = data.detach().requires_grad_()  # rows of the Jacobian are read off this graph
        return TransformedDistribution(model.noise_around(data), [model.flow.inv])

    def forward(self, x: Float[Tensor, "..."], *, size: int | None = None) -> None:
        """Draw the latents of every datum; none if the model has no noise.

        Args:
            x: Observed data.
            size: Number of data of the whole set.
        """
        if self.model.direct:
            return
        count = x.shape[-1 - len(self.model.config.image_shape)]
        with pyro.plate(DATUM, size or count, subsample=torch.arange(count), dim=-1):
            pyro.sample(LATENT, self.latent_posterior(x))

    def core_guide(self, core: int, *, noise: float | None = None) -> "FlowCoreGuide":
        """Return the guide of `model.core_model(core, noise=noise)`, which is `.model` of it."""
        return FlowCoreGuide(self.model.core_model(core, noise=noise))


class FlowCoreGuide(nn.Module):
    """Reads the core off the data, with the width that noise leaves it.

    For each datum and latent i of the core:

        z_i ~ Normal(f(x)_i, 1 / sqrt(1 + ||J_i||^2 / noise^2))

    The width is exact where the decoder is linear with orthogonal columns J_i.

    Args:
        model: The model of the core.
    """

    def __init__(self, model: FlowCore) -> None:
        super().__init__()
        self._model = (model,)

    @property
    def model(self) -> FlowCore:
        """The model of the core."""
        return self._model[0]

    def core_posterior(self, x: Float[Tensor, "datum ..."]) -> TorchDistribution:
        """Return q(z_core | x)."""
        core = self.model
        flow = core.flow
        code = flow.compress(x, core.core)
        spanned = columns(flow.flow, flow.completed(code), flow.order[: core.core])
        precision = 1 + spanned.square().sum(-2) / core.noise**2
        return Normal(code, precision.rsqrt()).to_event(1)

    def forward(self, x: Float[Tensor, "datum ..."], *, size: int | None = None) -> None:
        """Draw the core of every datum."""
        count = x.shape[-1 - len(self.model.flow.image_shape)]
        with pyro.plate(DATUM, size or count, subsample=torch.arange(count), dim=-1):
            pyro.sample("z_core", self.core_posterior(x))

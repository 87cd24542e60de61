"""Networks that read sequences of images and return distributions over latents."""

import torch
from jaxtyping import Float
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..zoo.nets import mlp

__all__ = ["NormalHead", "TransitionEncoder"]

_MINIMUM_SCALE = 1e-3


class NormalHead(nn.Module):
    """Features to an independent normal distribution.

    Args:
        feature_dim: Length of the feature vector.
        event_dim: Length of the event.
    """

    def __init__(self, feature_dim: int, event_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, 2 * event_dim)

    def forward(self, features: Float[Tensor, "*batch feature"]) -> TorchDistribution:
        """Return the distribution."""
        location, scale = self.linear(features).chunk(2, -1)
        return Normal(location, softplus(scale) + _MINIMUM_SCALE).to_event(1)


class TransitionEncoder(nn.Module):
    """Features of T + 1 frames to features of T transitions, each aware of the whole sequence.

    Neighbouring frames are compared by a perceptron; a bidirectional recurrent network then lets
    every transition look at all others.

    Args:
        feature_dim: Length of a frame's feature vector.
        hidden_dim: Width of the networks; features of transitions have twice this length.
    """

    def __init__(self, feature_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.compare = mlp([2 * feature_dim, hidden_dim, hidden_dim])
        self.context = nn.GRU(hidden_dim, hidden_dim, batch_first=True, bidirectional=True)

    def forward(
        self, features: Float[Tensor, "batch frame feature"]
    ) -> Float[Tensor, "batch time transition_feature"]:
        """Return the features of each transition."""
        pairs = torch.cat([features[..., :-1, :], features[..., 1:, :]], -1)
        compared: Tensor = self.compare(pairs)
        context: Tensor = self.context(compared)[0]
        return torch.cat([context, compared], -1)

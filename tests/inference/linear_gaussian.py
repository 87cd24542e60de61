"""A linear-Gaussian state-space model, whose posterior and evidence have closed forms."""

from dataclasses import dataclass
from typing import ClassVar

import pyro
import torch
from pyro.distributions import MultivariateNormal, Normal, TransformedDistribution
from torch import nn
from torch.distributions.transforms import ReshapeTransform

from mutoscope.zoo import simulate
from mutoscope.zoo.config import AbstractConfig

AXES = ("position", "velocity")
DIM = len(AXES)


@dataclass(frozen=True, kw_only=True)
class LinearGaussianConfig(AbstractConfig):
    """Sizes and noises.

    Attributes:
        length: Number of times.
        drift: Standard deviation of what moves the state from time to time.
        noise: Standard deviation of measurements.
    """

    length: int = 4
    drift: float = 0.5
    noise: float = 0.5


class LinearGaussian(nn.Module):
    """A point that drifts, and is seen through noise.

    `path_0 ~ Normal(0, I)`, `path_t ~ Normal(A path_(t-1), drift^2 I)`,
    `seen_t ~ Normal(C path_t, noise^2 I)`. The path of a sequence is one site.
    """

    dims: ClassVar = {"path": ("sequence", "time", "axis"), "seen": ("sequence", "time", "channel")}
    coords: ClassVar = {"axis": list(AXES)}

    def __init__(self, config=None):
        super().__init__()
        self.config = config = config or LinearGaussianConfig()
        moves = torch.tensor([[1.0, 0.5], [-0.2, 0.9]])
        looks = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        powers = [torch.linalg.matrix_power(moves, k) for k in range(config.length)]
        blocks = [
            torch.cat([powers[t - s] * (1.0 if s == 0 else config.drift) if s <= t else moves * 0
                       for s in range(config.length)], 1)
            for t in range(config.length)
        ]  # fmt: skip
        self.register_buffer("moves", moves)
        self.register_buffer("looks", looks)
        self.register_buffer("scale", torch.cat(blocks))  # paths are this times white noise
        self.shape = ReshapeTransform((config.length * DIM,), (config.length, DIM))

    @property
    def size(self):
        return self.config.length * DIM

    def as_path(self, mean, scale_tril):
        law = MultivariateNormal(mean, scale_tril=scale_tril)
        return TransformedDistribution(law, [self.shape])

    def forward(self, seen=None, *, size=None):
        count = (size or 1) if seen is None else len(seen)
        prior = self.as_path(self.scale.new_zeros(self.size), self.scale)
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            path = pyro.sample("path", prior)
            noise = self.config.noise * torch.ones_like(self.scale[0, 0])
            pyro.sample("seen", Normal(path @ self.looks.T, noise).to_event(2), obs=seen)

    def exact(self):
        """Return the matrix that takes measurements to the posterior mean, and the covariance."""
        prior, look = (x.double() for x in (self.scale, self.looks))
        look = torch.block_diag(*[look] * self.config.length)
        precision = torch.linalg.inv(prior @ prior.T) + look.T @ look / self.config.noise**2
        covariance = torch.linalg.inv(precision)
        return covariance @ look.T / self.config.noise**2, covariance

    def log_evidence(self, seen):
        """Return log p(seen) of each sequence."""
        prior, look = (x.double() for x in (self.scale, self.looks))
        look = torch.block_diag(*[look] * self.config.length) @ prior
        noise = self.config.noise**2 * torch.eye(len(look), dtype=look.dtype)
        law = MultivariateNormal(torch.zeros(len(look)).double(), look @ look.T + noise)
        return law.log_prob(seen.double().flatten(-2))


class LinearGaussianGuide(nn.Module):
    """A linear map of what is seen, and one covariance for all: the posterior is one of these."""

    def __init__(self, model):
        super().__init__()
        self.as_path = model.as_path
        self.mean = nn.Linear(model.size, model.size)
        self.scale = nn.Parameter(torch.zeros(model.size, model.size))

    @property
    def scale_tril(self):
        return self.scale.tril(-1) + torch.diag(self.scale.diagonal().exp())

    @torch.no_grad()
    def be_exact(self, model, *, narrowed=1.0, shifted=0.0):
        """Become the posterior, or as many times as wide, or away by so many of its deviations."""
        weight, covariance = model.exact()
        scale = torch.linalg.cholesky(covariance)
        self.mean.weight.copy_(weight)
        self.mean.bias.copy_(shifted * covariance.diagonal().sqrt())
        scale = narrowed * scale
        self.scale.copy_(scale.tril(-1) + torch.diag(scale.diagonal().log()))
        return self

    def forward(self, seen, *, size=None):
        count = len(seen)
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            pyro.sample("path", self.as_path(self.mean(seen.flatten(-2)), self.scale_tril))


def exact_pair(**options):
    model = LinearGaussian()
    return model, LinearGaussianGuide(model).be_exact(model, **options)


def simulated(count, seed=0):
    """Return measurements of so many sequences, and the paths behind them."""
    data = simulate(LinearGaussian(), count, seed=seed)
    return {"seen": data["seen"]}, data["path"]

"""A latent and some noisy measurements of it: all that a posterior holds has a closed form."""

import math

import pyro
import torch
from pyro.distributions import Normal
from torch import nn

SLOPE, NOISE, TIMES = 1.5, 0.5, 3
PRECISION = 1 + TIMES * SLOPE**2 / NOISE**2  # of z given x


class Measured(nn.Module):
    """`z ~ Normal(0, 1)`, `x_t ~ Normal(SLOPE z, NOISE)`; told that there are 1,000 data."""

    dims = {"z": ("datum",), "mean": ("datum", "time"), "x": ("datum", "time")}  # noqa: RUF012
    coords = {"time": ["early", "noon", "late"]}  # noqa: RUF012

    def forward(self, x=None, *, size=None):
        count = size or 1 if x is None else len(x)
        with pyro.plate("data", 1000, subsample=torch.arange(count), dim=-1):
            z = pyro.sample("z", Normal(0.0, 1.0))
            mean = pyro.deterministic("mean", (SLOPE * z).unsqueeze(-1).expand(*z.shape, TIMES))
            return pyro.sample("x", Normal(mean, NOISE).to_event(1), obs=x)


class MeasuredGuide(nn.Module):
    """The exact posterior."""

    def forward(self, x, *, size=None):
        with pyro.plate("data", 1000, subsample=torch.arange(len(x)), dim=-1):
            location = x.sum(-1) * SLOPE / NOISE**2 / PRECISION
            pyro.sample("z", Normal(location, PRECISION**-0.5))


def log_evidence(x):
    covariance = NOISE**2 * torch.eye(TIMES) + SLOPE**2
    return torch.distributions.MultivariateNormal(torch.zeros(TIMES), covariance).log_prob(x)


def log_normal(value, mean, scale):
    return -0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)

"""A tiny pair for tests of the engine: a latent for each datum, and a noisy measurement of it."""

from dataclasses import dataclass
from typing import ClassVar

import pyro
import torch
from pyro.distributions import Normal
from torch import Tensor, nn

from mutoscope.zoo.config import AbstractConfig

D = 3


@dataclass(frozen=True, kw_only=True)
class ToyConfig(AbstractConfig):
    slope: float = 0.7
    dropout: float = 0.1


class ToyModel(nn.Module):
    """`z ~ Normal(0, I)`, `data ~ Normal(slope z, 0.5)`."""

    dims: ClassVar = {"z": ("datum", "axis"), "data": ("datum", "axis")}
    coords: ClassVar = {}

    def __init__(self, config=None):
        super().__init__()
        self.config = config or ToyConfig()
        self.slope = nn.Parameter(torch.tensor(self.config.slope))
        self.register_buffer("zero", torch.zeros(()))

    def forward(self, data: Tensor | None = None, *, size: int | None = None) -> None:
        count = size if data is None else len(data)
        one = torch.ones_like(self.zero)
        with pyro.plate("datum", size or count, subsample=torch.arange(count), dim=-1):
            z = pyro.sample("z", Normal(self.zero, one).expand([D]).to_event(1))
            pyro.sample("data", Normal(self.slope * z, 0.5 * one).to_event(1), obs=data)


class ToyGuide(nn.Module):
    """`z ~ Normal(encoder(data))`."""

    def __init__(self, model, config=None):
        super().__init__()
        self.config = config or model.config
        self.encoder = nn.Linear(D, 2 * D)
        self.drop = nn.Dropout(self.config.dropout)

    def forward(self, data: Tensor, *, size: int | None = None) -> None:
        location, width = self.encoder(self.drop(data)).chunk(2, -1)
        plate = pyro.plate("datum", size or len(data), subsample=torch.arange(len(data)), dim=-1)
        with plate:
            pyro.sample("z", Normal(location, 0.1 + width.exp()).to_event(1))


def toy_pair(seed=0, **options):
    torch.manual_seed(seed)
    model = ToyModel(ToyConfig(**options))
    return model, ToyGuide(model)


def toy_data(count=50, seed=1):
    return {"data": torch.randn(count, D, generator=torch.Generator().manual_seed(seed))}


class WithHeldOut:
    """A data set with a split to validate on."""

    def __init__(self, train=None, validation=None):
        self.train = train or toy_data()
        self.validation = validation or toy_data(20, seed=2)


def weights(*modules):
    return [value.clone() for module in modules for value in module.state_dict().values()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

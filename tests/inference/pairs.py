"""Pairs of toy programs, made of the laws of their sites, and what is said of them."""

import pyro
import pytest
import torch
from pyro.distributions import Normal
from torch import nn
from torch.distributions import Distribution

from mutoscope.inference.description import describe
from mutoscope.zoo.errors import ConfigError

COUNT, D, NAMED = 5, 3, ("row", "axis")


def unit(*shape):
    return Normal(torch.zeros(shape), 1.0)


Z, W = {"z": unit(D).to_event(1)}, {"w": unit()}
DATA = {"data": lambda weight, data: Normal(weight * data.detach(), 1.0).to_event(1)}


class Program(nn.Module):
    """Samples sites inside and outside of a plate, from laws given or made of weight and data."""

    def __init__(self, inside, outside=None, *, observes=False, sized=True, draws=False, dim=-1):
        super().__init__()
        self.inside, self.outside, self.observes = inside, outside or {}, observes
        self.sized, self.draws, self.dim = sized, draws, dim
        self.weight = nn.Parameter(torch.tensor(0.5))

    def rows(self, data, size):
        count = len(data)
        rows = {"subsample_size": count} if self.draws else {"subsample": torch.arange(count)}
        return pyro.plate("datum", size if size and self.sized else count, dim=self.dim, **rows)

    def sample(self, name, law, data):
        law = law if isinstance(law, Distribution) else law(self.weight, data)
        return pyro.sample(name, law, obs=data if self.observes and name == "data" else None)

    def forward(self, data, *, size=None):
        for name, law in self.outside.items():
            self.sample(name, law, data)
        if self.inside:
            with self.rows(data, size):
                for name, law in self.inside.items():
                    self.sample(name, law, data)


class Storing(Program):
    def forward(self, data, *, size=None):
        pyro.param("loc", torch.zeros(()))
        super().forward(data, size=size)


def model(inside=Z, outside=None, *, kind=Program, data=DATA, **options):
    return kind(inside | data, outside, observes=True, **options)


def guide(inside=Z, outside=None, *, kind=Program, **options):
    return kind(inside, outside, **options)


def described(data, first=None, second=None, **options):
    return describe(first or model(), second or guide(), {"data": data}, **options)


def refusal(data, *pair, words=(), error=ConfigError, **options):
    with pytest.raises(error) as raised:
        described(data, *pair, **options)
    for word in words:
        assert word in str(raised.value)
    return raised.value

"""Which latent makes weights uneven, where that is known."""

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Normal
from torch import nn

from mutoscope.inference.diagnostics.spread import weight_spread
from mutoscope.zoo.errors import ConfigError

DATA = {"x": torch.zeros(4)}


class Pair(nn.Module):
    """Two standard normal latents; a guide may say them `wide` times as wide."""

    dims = {"good": ("row",), "bad": ("row",), "x": ("row",)}  # noqa: RUF012

    def __init__(self, *, observes, wide=1.0):
        super().__init__()
        self.observes, self.wide = observes, wide

    def forward(self, x, *, size=None):
        with pyro.plate("data", len(x), subsample=torch.arange(len(x)), dim=-1):
            pyro.sample("good", Normal(0.0, 1.0))
            pyro.sample("bad", Normal(0.0, self.wide))
            if self.observes:
                pyro.sample("x", Normal(0.0, 1.0), obs=x)


def test_a_latent_that_is_too_wide_spreads_weights_as_it_must():
    found = weight_spread(Pair(observes=True), Pair(observes=False, wide=2.0), DATA, draws=5000)
    assert found.dims == ("site", "row")
    np.testing.assert_allclose(found.sel(site="good"), 0, atol=1e-4)
    for site in ("bad", "all"):  # -3/8 of the square of a number that is 2 times a standard normal
        np.testing.assert_allclose(found.sel(site=site), 1.5 * 2**0.5, rtol=0.1)


def test_a_single_draw_spreads_nothing_and_is_refused():
    with pytest.raises(ConfigError, match="draws=1"):
        weight_spread(Pair(observes=True), Pair(observes=False), DATA, draws=1)

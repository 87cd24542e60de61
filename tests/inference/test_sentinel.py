"""When a number stops being finite: the message names it, and the last finite state is kept."""

from typing import ClassVar

import pyro
import pytest
import torch
from pyro.distributions import Normal

from mutoscope.inference import fit
from mutoscope.inference.elbo import Elbo
from mutoscope.inference.sentinel import replay_failure
from mutoscope.zoo.errors import TrainingError

from .toy import D, ToyGuide, ToyModel, equal, toy_data, toy_pair, weights

OPTIONS = {"max_steps": 40, "batch_size": 16, "log_every": 5, "progress": False}


class Breaking(ToyModel):
    """Works until a step is reached; then something of it is NaN."""

    def __init__(self, *, at, how):
        super().__init__()
        self.at, self.how, self.calls = at, how, 0

    def forward(self, data=None, *, size=None):
        self.calls += self.training
        broken = torch.tensor(torch.nan if self.calls >= self.at else 1.0)
        count = size if data is None else len(data)
        one = torch.ones_like(self.zero)
        with pyro.plate("datum", size or count, subsample=torch.arange(count), dim=-1):
            scale = one * broken if self.how == "prior" else one
            z = pyro.sample("z", Normal(self.zero, scale).expand([D]).to_event(1))
            location = self.slope * z
            if self.how == "likelihood":
                location = torch.where(torch.arange(count)[:, None] == 1, broken * z, location)
            if self.how == "gradient" and bool(broken.isnan()):
                location = location + self.slope.mul(0).abs().sqrt()  # finite; its slope is not
            pyro.sample("data", Normal(location, 0.5).to_event(1), obs=data)


def break_at(step, how, **options):
    model = Breaking(at=10**9, how=how)
    guide = ToyGuide(model)

    class Start:
        def log_metrics(self, metrics, at):
            if at >= step:
                model.at = model.calls + 2

    with pytest.raises(TrainingError) as found:
        fit(model, guide, toy_data(), **OPTIONS | options, loggers=[Start()])
    return str(found.value), model, guide


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("prior", "log p(z) in the model"),
        ("likelihood", "log p(data) in the model (rows [1] of the batch)"),
        ("gradient", "the gradient of 'model.slope'"),
    ],
)
def test_the_message_names_what_was_first(how, said):
    message, *_ = break_at(10, how)
    assert said in message
    assert "Step 12, batch indices [" in message


def test_a_parameter_that_is_not_finite_is_named():
    model, guide = toy_pair()
    with torch.no_grad():
        guide.encoder.bias[2] = torch.nan
    with pytest.raises(Exception, match=r"(encoder\.bias|z)"):
        fit(model, guide, toy_data(), **OPTIONS)


def test_the_last_finite_weights_are_kept():
    _, model, guide = break_at(10, "likelihood")
    kept = weights(model, guide)
    assert all(bool(value.isfinite().all()) for value in kept)
    reference = Breaking(at=10**9, how="likelihood")
    reference_guide = ToyGuide(reference)
    torch.manual_seed(0)
    assert len(kept) == len(weights(reference, reference_guide))


def test_what_happened_can_be_seen_again(tmp_path):
    message, model, guide = break_at(10, "likelihood", out=tmp_path)
    again = Breaking(at=0, how="likelihood")
    other = ToyGuide(again)
    batch, facts = replay_failure(tmp_path / "failure", again, other)
    assert equal(weights(again, other), weights(model, guide))
    assert facts["message"] == message
    assert facts["step"] == 12
    assert torch.equal(batch["data"], toy_data()["data"][facts["indices"]])
    assert not bool(Elbo(again, other)(batch, size=facts["size"]).objective.isfinite())


def test_steps_before_the_failure_are_as_without_it(tmp_path):
    *_, model, guide = break_at(10, "gradient")
    assert all(bool(value.isfinite().all()) for value in weights(model, guide))


class Shared(ToyModel):
    """With a latent that all data share, whose prior breaks."""

    dims: ClassVar = ToyModel.dims | {"shared": ()}

    def forward(self, data=None, *, size=None):
        scale = torch.where(self.slope > 0.69, 1.0, torch.nan)
        pyro.sample("shared", Normal(self.zero, scale))
        return super().forward(data, size=size)


class SharedGuide(ToyGuide):
    def forward(self, data, *, size=None):
        pyro.sample("shared", Normal(self.encoder.bias[0], 1.0))
        return super().forward(data, size=size)


def test_a_site_outside_of_every_plate_is_named():
    model = Shared()
    guide = SharedGuide(model)
    with pytest.raises(TrainingError, match=r"the first that is not finite is log p\(shared\)"):
        fit(model, guide, {"data": torch.zeros(50, D)}, **OPTIONS, learning_rate=0.1)


class Missing(ToyModel):
    """Some data are not there: their likelihood is NaN, and masked. What comes later breaks."""

    dims: ClassVar = ToyModel.dims | {"late": ("datum",)}

    def forward(self, data=None, *, size=None):
        count = len(data)
        one = torch.ones_like(self.zero)
        with pyro.plate("datum", size, subsample=torch.arange(count), dim=-1):
            z = pyro.sample("z", Normal(self.zero, one).expand([D]).to_event(1))
            with pyro.poutine.mask(mask=data[:, 0] > 0):
                location = torch.where(data > 0, self.slope * z, 1e30)
                pyro.sample("data", Normal(location, 0.5).to_event(1), obs=data)
            scale = torch.where(self.slope > 0.69, one, torch.nan)
            pyro.sample("late", Normal(self.zero, scale), obs=torch.zeros(count))


def test_what_is_masked_is_no_failure_and_rows_are_those_of_the_data():
    model = Missing()
    data = toy_data()["data"].abs()
    data[::5] = -1.0
    with pytest.raises(TrainingError, match=r"log p\(late\) in the model \(rows \[0, 1, 2"):
        fit(model, ToyGuide(model), {"data": data}, **OPTIONS | {"learning_rate": 0.1})

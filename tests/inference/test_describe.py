"""What is said of pairs that are right, and that all is left as it was."""

import contextlib
import re
import subprocess
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import LogNormal, Normal
from torch import nn

import mutoscope.inference as exported
from mutoscope.guides import ENTRIES
from mutoscope.inference.description import describe
from mutoscope.inference.posterior import summarize
from mutoscope.zoo.errors import ConfigError
from mutoscope.zoo.schedules import Schedule, Windows

from .pairs import COUNT, NAMED, D, Program, Storing, Z, described, guide, model, unit


@pytest.fixture
def data():
    return torch.randn(COUNT, D)


def test_every_row_says_what_the_site_is_and_what_answers_it(data):
    class Doubling(Program):
        def forward(self, data, *, size=None):
            self.sample("w", dist.StudentT(torch.ones(2)).to_event(1), data)
            with self.rows(data, size):
                law = dist.ExpandedDistribution(dist.HalfNormal(torch.tensor(1.0)), [D])
                z = self.sample("z", law.to_event(1).mask(True), data)
                pyro.factor("bonus", torch.zeros(len(data)))
                pyro.deterministic("twice", 2 * z, event_dim=1)
                self.sample("data", Normal(self.weight * z, 1.0).to_event(1), data)

    doubling = model(kind=Doubling)
    doubling.dims = {"w": ("side",)} | dict.fromkeys(("z", "twice", "data"), NAMED)
    answers = guide({"z": LogNormal(torch.zeros(D), 1.0).to_event(1)}, {"w": unit(2).to_event(1)})
    found = described(data, doubling, answers, size=40)
    batch, event = ("datum=5",), ("axis=3",)
    assert [tuple(vars(site).values()) for site in found.sites] == [
        ("w", "global latent", "StudentT", (), ("side=2",), "Real", "Normal", "drawn"),
        ("z", "latent", "HalfNormal", batch, event, "GreaterThanEq(0)", "LogNormal", "drawn"),
        ("bonus", "observed", "Unit", batch, ("0",), "Real", "data", "-"),
        ("twice", "deterministic", "-", batch, event, "-", "-", "-"),
        ("data", "observed", "Normal", batch, event, "Real", "data", "-"),
    ]
    assert [tuple(vars(plate).values()) for plate in found.plates] == [("datum", 40, COUNT, -1)]


def test_parameters_are_counted_by_child_and_unused_ones_named(data):
    learned = {"z": lambda weight, data: Normal(weight, 1.0).expand([D]).to_event(1)}
    first, second = model(), guide(learned)
    first.net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).double()
    first.net[1].requires_grad_(False)
    second.shared = first.net
    found = described(data, first, second)
    assert [tuple(vars(part).values()) for part in found.parts] == [
        ("model.weight", 1, 0, 4),
        ("model.net", 9, 4, 104),
        ("guide.weight", 1, 0, 4),
        ("total", 11, 4, 112),
    ]
    assert found.unused == ("model.net.0.weight", "model.net.0.bias")
    for parameter in (*first.parameters(), *second.parameters()):
        parameter.requires_grad_(False)
    assert described(data, first, second).unused == ()


def test_schedules_and_windows_are_listed(data):
    first, second = model(), guide()
    first.kl_schedule = {"z": Schedule(start=0.1, end=1.0, until=0.4)}
    second.schedules = {"temperature": Schedule(start=1.0, end=0.5, until=0.6, since=0.2)}
    first.windows = Windows(axis="frame", length=3, until=0.5)
    found = described(data, first, second)
    moving = {"KL(z)": first.kl_schedule["z"], "guide.temperature": second.schedules["temperature"]}
    assert (found.schedules, found.windows) == (moving, first.windows)
    for words in ("KL(z) from 0.1 to 1, 0% to 40%", "from 1 to 0.5, 20% to 60%", "3 along 'frame'"):
        assert words in str(found)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_registered_pairs_are_right_and_fit_into_eighty_columns_without_a_broken_word(entry, count):
    example = entry.example()
    first = entry.model(entry.model.Config.from_dict(example.model))
    second = entry.guide(first, entry.guide.Config.from_dict(example.guide))
    batch = {name: tensor[:count] for name, tensor in example.batch.items()}
    found = describe(first, second, batch, size=100_000)
    assert not found.unused
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.split()}
    for site in found.sites:
        assert {site.name, site.distribution, site.answer, *site.batch, *site.event} <= words
        assert {*site.kind.split(), *site.support.split()} <= words
    assert {part.name for part in found.parts} | {"100,000"} <= words


def test_long_names_are_folded_and_brackets_kept(data):
    name = "latent[" + 120 * "x" + "]"
    law = {name: unit(D).to_event(1)}
    page = str(described(data, model(law), guide(law)))
    assert max(map(len, page.splitlines())) <= 80
    assert page.count("x") >= 120
    assert "[x" in page


def test_a_notebook_shows_the_table_as_html_and_nothing_by_itself(data, monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    law = {"<b>z": unit(D).to_event(1)}
    moving = model(law)
    moving.kl_schedule = {"<b>z": Schedule(start=0.1, end=1.0, until=0.4)}
    found = described(data, moving, guide(law))
    assert "parameters of" in str(found) == repr(found)
    page = found._repr_html_()
    assert capsys.readouterr().out == ""
    rows = re.findall("<tr>.*?</tr>", page)
    assert len(rows) == 3 + len(found.sites) + len(found.plates) + len(found.parts)
    assert "<b>" not in page
    for cell in (
        "&lt;b&gt;z<br>",
        "on Real",
        "datum=5",
        "KL analytic",
        "model.weight",
        "0% to 40%",
    ):
        assert cell in page


def test_what_users_call_is_exported_and_costs_no_import_of_plots_or_tables():
    code = "import sys; from mutoscope.inference import describe, summarize; print(*sys.modules)"
    words = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    heavy = {"arviz", "matplotlib", "pandas", "rich", "xarray"}
    assert not heavy & set(done.stdout.split())
    assert (exported.describe, exported.summarize) == (describe, summarize)


def test_a_global_latent_is_right_in_batches_of_any_size(data):
    for count in (1, 2, COUNT):
        site = described(data[:count], model({}, Z), guide({}, Z)).sites[0]
        found = site.kind, site.batch, site.event, site.kl
        assert found == ("global latent", (), ("3",), "analytic")


class Topics(Program):
    def forward(self, data, *, size=None):
        for length in (2, COUNT):
            with pyro.plate(f"plate {length}", length, dim=-1):
                self.sample(f"topics {length}", unit(), data)
        super().forward(data, size=size)


def test_a_plate_that_is_as_long_as_the_batch_by_chance_is_not_that_of_the_data(data):
    for count in (2, COUNT):
        found = described(data[:count], model(kind=Topics), guide(kind=Topics), size=40)
        assert [s.kind for s in found.sites] == [*2 * ["global latent"], "latent", "observed"]
        assert [plate.size for plate in found.plates] == [2, COUNT, 40]


def test_everything_is_left_as_it_was(data):
    first, second = model(), guide()
    second.norm = nn.BatchNorm1d(D)
    second.inside = {"z": lambda weight, data: Normal(second.norm(data), 1.0).to_event(1)}
    second.norm.weight.grad = torch.ones(D)
    first.eval()
    pyro.clear_param_store()
    pyro.param("mine", torch.ones(2))
    buffers = {name: value.clone() for name, value in second.named_buffers()}
    noise, validates = torch.get_rng_state(), pyro.poutine.util.is_validation_enabled()
    pages = [str(described(data, first, second)) for _ in range(2)]
    with contextlib.suppress(ConfigError):
        described(data, first, guide(kind=Storing))
    assert pages[0] == pages[1]
    assert torch.equal(noise, torch.get_rng_state())
    assert [*pyro.get_param_store().keys()] == ["mine"]
    assert (first.training, second.training, second.norm.training) == (False, True, True)
    assert second.norm.weight.grad.equal(torch.ones(D))
    assert [first.weight.grad, second.weight.grad] == [None, None]
    assert all(torch.equal(buffers[name], value) for name, value in second.named_buffers())
    assert pyro.poutine.util.is_validation_enabled() == validates
    pyro.clear_param_store()

"""What every registered model and guide keep, whatever they model."""
# ruff: noqa: D103 - a test says by its name what it holds

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn

# Absolute imports: pytest may import this file under the name of the folder it lies in.
from mutoscope.guides.registry import ENTRIES, Entry
from mutoscope.inference import Run, fit
from mutoscope.inference.elbo import Elbo, ElboTerms
from mutoscope.testing.case import Case, Sites, sites_of
from mutoscope.zoo.errors import ConfigError

RATIO = 10  # of the size of the data set to that of the batch
PARTICLES = 3


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Test the entry asked for, or else all of ours."""
    if "entry" in metafunc.fixturenames:
        name = metafunc.config.getoption("mutoscope_entry", None)
        try:
            chosen = ENTRIES if name is None else (Entry.named(name),)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error
        metafunc.parametrize("entry", chosen, ids=lambda entry: entry.name)


@pytest.fixture
def case(entry: Entry) -> Iterator[Case]:
    """The example of the entry under test; as in training, Pyro's own checks are off."""
    torch.manual_seed(0)
    with pyro.validation_enabled(False):
        yield Case(entry)


def state_of(*modules: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer, as they are, of some modules."""
    states = (module.state_dict() for module in modules)
    return {f"{k}.{name}": value for k, state in enumerate(states) for name, value in state.items()}


def terms_of(elbo: Elbo, case: Case, *, seed: int = 0, ratio: int = 1) -> ElboTerms:
    """Return the terms of the ELBO of the example, drawn from a seed."""
    torch.manual_seed(seed)
    terms: ElboTerms = elbo(case.batch, size=ratio * case.count)
    return terms


def own_of_data(model: Any, sites: Sites) -> set[str]:  # noqa: ANN401 - a model has any attributes
    """Return the names of sites of which each datum has its own, unlike global ones."""
    data_axis = model.dims[next(iter(sites.observed))][0]
    return {name for name in sites.random if model.dims[name][0] == data_axis}


def assert_same(found: Tensor, expected: Tensor, name: str) -> None:
    """Compare up to rounding."""
    torch.testing.assert_close(found, expected, msg=lambda said: f"{name}: {said}")


def test_the_guide_covers_exactly_the_latents_of_the_model(case: Case) -> None:
    in_model, in_guide = (sites_of(program, case.batch).latent for program in case.pair())
    assert in_model.keys() == in_guide.keys()
    for name, site in in_model.items():
        assert site["value"].shape == in_guide[name]["value"].shape, name


def test_every_site_has_one_name_for_each_axis(case: Case) -> None:
    model, _ = case.pair()
    sites = sites_of(model, case.batch).all
    assert sites.keys() == model.dims.keys()
    for name, site in sites.items():
        assert site["value"].ndim == len(set(model.dims[name])) == len(model.dims[name]), name


def test_an_axis_has_one_length_and_as_many_labels(case: Case) -> None:
    model, _ = case.pair()
    lengths: dict[str, int] = {}
    for name, site in sites_of(model, case.batch).all.items():
        for axis, length in zip(model.dims[name], site["value"].shape, strict=True):
            assert lengths.setdefault(axis, length) == length, axis
    for axis, labels in getattr(model, "coords", {}).items():
        assert len(labels) == lengths[axis], axis


def test_gradients_reach_every_parameter(case: Case) -> None:
    elbo = Elbo(*case.pair())
    terms_of(elbo, case).objective.backward()
    trained = {name: p for name, p in elbo.named_parameters() if p.requires_grad}
    assert not [name for name, parameter in trained.items() if parameter.grad is None]
    assert not [name for name, p in trained.items() if not Tensor(p.grad).isfinite().all()]


def test_batches_stand_for_the_whole_data_set(case: Case) -> None:
    model, guide = case.pair()
    in_model, in_guide = (
        sites_of(program, case.batch, size=RATIO * case.count) for program in (model, guide)
    )
    for name, site in in_guide.latent.items():
        assert site["scale"] == in_model.latent[name]["scale"], name
    elbo = Elbo(model, guide)
    alone, part = (terms_of(elbo, case, ratio=ratio) for ratio in (1, RATIO))
    local = own_of_data(model, in_model)
    for name, term in (alone.likelihood | alone.kl).items():
        share = 1 if name in local else RATIO
        assert_same((part.likelihood | part.kl)[name] * share, term, name)


def test_data_do_not_depend_on_the_others_of_their_batch(case: Case) -> None:
    model, guide = (module.eval() for module in case.pair())
    in_guide = sites_of(guide, case.batch)
    values = {name: site["value"] for name, site in in_guide.latent.items()}
    in_model = sites_of(model, case.batch, given=values)
    local = own_of_data(model, in_model)
    for k in range(case.count):
        one = slice(k, k + 1)
        batch = {name: tensor[one] for name, tensor in case.batch.items()}
        given = {name: value[one] if name in local else value for name, value in values.items()}
        for program, together in ((guide, in_guide), (model, in_model)):
            alone = sites_of(program, batch, given=given).random
            for name in local & alone.keys():
                expected = together.random[name]["unscaled_log_prob"][one]
                assert_same(alone[name]["unscaled_log_prob"], expected, name)


def test_particles_are_drawn_side_by_side(case: Case) -> None:
    model, guide = (module.eval() for module in case.pair())
    single = sites_of(guide, case.batch).latent
    with pyro.plate("particles", PARTICLES, dim=-2):
        drawn = sites_of(guide, case.batch).latent
        values = {name: site["value"] for name, site in drawn.items()}
        together = sites_of(model, case.batch, given=values).random
    assert any(not torch.equal(value[0], value[1]) for value in values.values())
    for k in range(PARTICLES):
        given = {n: value[k].reshape(single[n]["value"].shape) for n, value in values.items()}
        for name, site in sites_of(model, case.batch, given=given).random.items():
            found = together[name]["unscaled_log_prob"].expand(PARTICLES, case.count)[k]
            assert_same(found, site["unscaled_log_prob"].expand_as(found), name)


def test_numbers_keep_the_precision_of_the_pair(case: Case) -> None:
    for dtype in (torch.float32, torch.float64):
        model, guide = (module.to(dtype) for module in case.pair())
        batch = {n: x.to(dtype) if x.is_floating_point() else x for n, x in case.batch.items()}
        sites = (sites_of(program, batch).all.values() for program in (model, guide))
        values = [site["value"] for each in sites for site in each]
        terms = Elbo(model, guide)(batch, size=case.count)
        found = [*values, terms.objective, *terms.likelihood.values(), *terms.kl.values()]
        assert {value.dtype for value in found if value.is_floating_point()} == {dtype}


def test_configurations_survive_json(case: Case) -> None:
    for module in case.pair():
        text = json.dumps(module.config.to_dict())
        assert type(module.config).from_dict(json.loads(text)) == module.config


def test_unknown_options_are_refused(case: Case) -> None:
    for module in case.pair():
        options = module.config.to_dict() | {"no_such_option": 1}
        with pytest.raises(ConfigError, match="no_such_option"):
            type(module.config).from_dict(options)


def test_two_instances_share_nothing(case: Case) -> None:
    pyro.clear_param_store()
    first, second = case.pair(), case.pair()
    before = {name: value.clone() for name, value in state_of(*second).items()}
    fit(*first, case.batch, max_steps=2, progress=False)
    assert not pyro.get_param_store()
    for name, value in state_of(*second).items():
        assert torch.equal(value, before[name]), name


def test_copies_are_equal_and_independent(case: Case) -> None:
    elbo = Elbo(*case.pair())
    other = copy.deepcopy(elbo)
    assert torch.equal(terms_of(elbo, case).objective, terms_of(other, case).objective)
    with torch.no_grad():
        next(iter(elbo.parameters())).add_(1)
    assert not torch.equal(next(iter(elbo.parameters())), next(iter(other.parameters())))


def test_a_saved_run_loads_equal(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = fit(*case.pair(), case.batch, max_steps=3, log_every=1, progress=False, out=out)
    loaded = Run.load(out)
    saved, read = state_of(run.model, run.guide), state_of(loaded.model, loaded.guide)
    assert all(torch.equal(value, read[name]) for name, value in saved.items())
    before, after = (each.posterior(case.batch, draws=3, seed=4) for each in (run, loaded))
    assert before["posterior"].equals(after["posterior"])


def test_a_seed_settles_everything_that_is_random(case: Case) -> None:
    first, second = case.pair(), case.pair()
    same, other = (terms_of(Elbo(*second), case, seed=seed).objective for seed in (1, 2))
    loss = terms_of(Elbo(*first), case, seed=1).objective
    assert torch.equal(loss, same)
    assert not torch.equal(loss, other)


def test_it_runs_without_gradients(case: Case) -> None:
    elbo = Elbo(*case.pair())
    expected = terms_of(elbo, case).objective.detach()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(terms_of(elbo, case).objective, expected)


def test_parameters_exist_from_the_start(case: Case) -> None:
    elbo = Elbo(*case.pair())
    before = {name: value.shape for name, value in elbo.state_dict().items()}
    terms_of(elbo, case)
    assert {name: value.shape for name, value in elbo.state_dict().items()} == before


def test_it_can_be_built_without_memory(case: Case) -> None:
    with torch.device("meta"):
        planned = state_of(*case.pair())
    assert {value.device.type for value in planned.values()} == {"meta"}


def test_simulated_data_are_shaped_like_observed_ones(case: Case) -> None:
    model, _ = case.pair()
    observed = sites_of(model, case.batch).observed
    simulated = sites_of(model, {}, size=2 * case.count).all
    for name, site in observed.items():
        assert simulated[name]["value"].shape == (2 * case.count, *site["value"].shape[1:]), name
        assert simulated[name]["value"].dtype == site["value"].dtype, name

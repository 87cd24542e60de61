import pytest
import torch

from mutoscope.zoo.datasets import sticky_spikes
from mutoscope.zoo.errors import DataError

REFERENCE = [0.3690, 0.4223, 0.4611, 0.4895, 0.5105, 0.5260, 0.5375, 0.5461]
COUNT = 100_000


def draw(
    factors: int, p_initial: float | None = None, *, reject_all_zero: bool = True
) -> torch.Tensor:
    return sticky_spikes(
        (COUNT, 8, factors),
        p_on=0.1,
        p_stay=0.9,
        p_initial=p_initial,
        reject_all_zero=reject_all_zero,
        generator=torch.Generator().manual_seed(0),
    )


def test_active_fractions_are_those_of_the_reference_within_three_standard_errors() -> None:
    active = draw(3).double().mean(-1)
    error = active.std(0) / COUNT**0.5
    exact = torch.tensor(REFERENCE, dtype=torch.float64)
    assert ((active.mean(0) - exact).abs() < 3 * error).all()


def test_something_moves_in_every_transition() -> None:
    assert draw(2).any(-1).all()


def test_first_step_is_the_bernoulli_law_given_not_all_zero() -> None:
    first = draw(2, p_initial=0.3)[:, 0]
    both, only_one = (first.sum(-1) == 2).double().mean(), (first.sum(-1) == 1).double().mean()
    assert both.item() == pytest.approx(0.09 / 0.51, abs=0.006)
    assert only_one.item() == pytest.approx(0.42 / 0.51, abs=0.006)


def test_without_rejection_each_factor_is_its_own_chain() -> None:
    spikes = draw(3, reject_all_zero=False)
    before, after = spikes[:, :-1], spikes[:, 1:]
    assert after[before].double().mean().item() == pytest.approx(0.9, abs=0.005)
    assert after[~before].double().mean().item() == pytest.approx(0.1, abs=0.005)
    assert spikes[:, 0].double().mean().item() == pytest.approx(0.1, abs=0.005)


def test_nothing_can_start_is_an_error() -> None:
    with pytest.raises(DataError, match="something must be able to start"):
        draw(3, p_initial=0.0)

import pytest
import torch

from mutoscope.zoo.datasets import FactorTasks, TaskSplit, padded_tasks, render_ellipses
from mutoscope.zoo.errors import DataError

SMALL = {"num_tasks": 60, "test_tasks": 30, "points": 40}


def test_labels_are_what_the_truth_says():
    data = FactorTasks(**SMALL, kinds=(0, 2, 3), noise=0.0)
    batch, truth = data.train.observations, data.train.truth
    score = torch.einsum("tpf,tf->tp", truth.factor_value, truth.weight)
    numbers, yes, thirds = (batch["labels"][batch["classes"] == kind] for kind in (0, 2, 3))
    torch.testing.assert_close(numbers, score[0::3], atol=1e-5, rtol=0)
    assert float((yes - (score[1::3] > 0).float()).abs().mean()) < 0.02  # the median is near zero
    for scores, labels in zip(score[2::3], thirds, strict=True):
        assert bool((labels[scores.argsort()].diff() >= 0).all())
    assert bool(((truth.weight != 0) == truth.support).all())
    assert set(truth.support.sum(1).tolist()) == {1, 2, 3}
    assert data.num_outputs == 3


def test_classes_are_equally_likely():
    data = FactorTasks(num_tasks=300, test_tasks=1, kinds=(4,), support_sizes=(1,), noise=0.0)
    shares = data.train.observations["labels"].flatten().long().bincount() / (300 * 64)
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.015, rtol=0)
    assert float(data.train.truth.weight.abs().sum(1).std()) < 0.02


def test_splits_share_the_world_and_no_tasks():
    data = FactorTasks(**SMALL, seed=3)
    again, other = FactorTasks(**SMALL, seed=3), FactorTasks(**SMALL, seed=4)
    for name, tensor in data.test.observations.items():
        assert torch.equal(tensor, again.test.observations[name])
    factors = data.test.truth.factor_value
    clean = data.render(factors)
    noise = data.test.observations["inputs"] - clean
    assert float(noise.std()) == pytest.approx(0.02, rel=0.05)
    assert not torch.allclose(other.render(factors), clean)
    assert not torch.equal(data.train.truth.factor_value[:30], factors)


def test_a_few_labels_hold_every_class():
    data = FactorTasks(**SMALL, kinds=(2, 3))
    few = data.test.with_labels(3)
    batch = few.observations
    assert bool((batch["observed"].sum(1) == 3).all())
    for labels, kind in zip(batch["labels"][:, :3], batch["classes"], strict=True):
        assert len(set(labels.tolist())) == int(kind)
    with pytest.raises(DataError, match="count=0"):
        data.test.with_labels(0)


def test_tasks_may_have_different_numbers_of_labels():
    data = FactorTasks(**SMALL, labelled=(5, 20))
    batch = data.train.observations
    known = batch["observed"].sum(1)
    assert known.min() >= 5
    assert known.max() <= 20
    assert len(known.unique()) > 5
    assert not bool(batch["labels"][~batch["observed"]].any())


def test_what_is_held_out_is_in_its_own_split_alone():
    data = FactorTasks(**SMALL, held_out=True)
    for split in (data.train, data.validation, data.test):
        assert not bool((split.truth.factor_value[..., :2] > 0.2).all(-1).any())
    inside = (data.unseen.truth.factor_value[..., :2] > 0.2).all(-1)
    assert torch.equal(inside, (torch.arange(40) >= 20).expand(30, -1))
    few = FactorTasks(num_tasks=1, test_tasks=100, points=8, kinds=(3,), held_out=True).unseen
    assert not bool((few.truth.factor_value[:, :4, :2] > 0.2).all(-1).any())
    assert all(len(task[:4].unique()) > 1 for task in few.observations["labels"])
    assert FactorTasks(**SMALL).unseen is None


@pytest.mark.parametrize(("supports", "size"), [("all", 6), ("blocks", 2)])
def test_supports_that_tell_nothing_apart(supports, size):
    support = FactorTasks(**SMALL, supports=supports).train.truth.support
    assert bool((support.sum(1) == size).all())
    if supports == "blocks":
        pairs = support.reshape(-1, 3, 2)
        assert bool((pairs[..., 0] == pairs[..., 1]).all())


def test_correlation_is_that_of_the_copula():
    factors = FactorTasks(num_tasks=500, test_tasks=1, correlation=0.7).train.truth.factor_value
    found = torch.corrcoef(factors.flatten(0, 1).T)
    # Pearson's correlation of uniforms under a Gaussian copula: 6 / pi asin(r / 2).
    expected = 6 / torch.pi * torch.asin(torch.tensor(0.35))
    torch.testing.assert_close(found[0, 1], expected, atol=0.02, rtol=0)
    assert float(factors.abs().max()) <= 1
    assert float(factors.std()) == pytest.approx(3**-0.5, rel=0.01)


def test_each_factor_moves_its_own_property_of_an_ellipse():
    grid = torch.zeros(7, 6)
    grid[1:] = 0.6 * torch.eye(6)
    images = render_ellipses(grid)
    assert images.shape == (7, 3, 32, 32)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    rest = images[0]
    places = torch.linspace(-1, 1, 32)
    shape = (images - images[:, :, :1, :1]).abs().sum(1)
    column = (shape.sum(1) * places).sum(1) / shape.sum((1, 2))
    row = (shape.sum(2) * places).sum(1) / shape.sum((1, 2))
    torch.testing.assert_close(column[1], torch.tensor(0.27), atol=0.01, rtol=0)
    torch.testing.assert_close(row[2], torch.tensor(-0.27), atol=0.01, rtol=0)
    assert shape[3].sum() > 1.2 * shape[0].sum()
    torch.testing.assert_close(images[4, :, 0, 0], rest[:, 0, 0])
    assert not torch.allclose(images[4, :, 16, 16], rest[:, 16, 16], atol=0.05)
    assert not torch.allclose(images[5, :, 0, 0], rest[:, 0, 0], atol=0.05)
    wide = (shape[6] > 0.1).sum(0).bool().sum() - (shape[6] > 0.1).sum(1).bool().sum()
    assert int(wide) >= 4


def test_ellipses_have_an_inverse():
    """Pictures move along six independent directions wherever the factors are."""
    factors = 2 * torch.rand(20, 6, generator=torch.Generator().manual_seed(0)) - 1
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda f: render_ellipses(f).flatten()))(factors)
    assert float(torch.linalg.svdvals(jacobian)[:, -1].min()) > 0.5


def test_images_are_tasks_like_others():
    data = FactorTasks(num_tasks=4, test_tasks=2, points=5, images=True)
    assert data.train.batch([0, 1])["inputs"].shape == (2, 5, *data.input_shape)
    assert data.factor_names[2] == "size"


def test_padding_has_no_labels():
    split = padded_tasks(
        [torch.ones(2, 3), torch.ones(4, 3)], [torch.tensor([0.0, 1]), torch.ones(4)], [2, 0]
    )
    assert isinstance(split, TaskSplit)
    item = split[0]
    assert item["observed"].tolist() == [True, True, False, False]
    assert not bool(item["inputs"][2:].any())
    assert split.first(1).observations["classes"].tolist() == [2]
    with pytest.raises(DataError, match="for each point"):
        padded_tasks([torch.ones(2, 3)], [torch.ones(3)], [0])
    with pytest.raises(IndexError, match="2 tasks"):
        split.batch([2])


@pytest.mark.parametrize(
    "option",
    [
        {"num_factors": 1},
        {"num_factors": 5, "images": True},
        {"points": 0},
        {"points": 3, "held_out": True},
        {"support_sizes": (7,)},
        {"supports": "none"},
        {"kinds": (1,)},
        {"correlation": 1.0},
        {"noise": -1.0},
        {"labelled": (0, 3)},
    ],
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(DataError, match=r"Found .*; expected"):
        FactorTasks(**SMALL | option)


def test_tasks_of_few_points_have_two_classes_all_the_same():
    data = FactorTasks(num_tasks=200, test_tasks=20, points=4, kinds=(2, 3))
    labels = data.train.observations["labels"]
    assert bool((labels.amax(1) > labels.amin(1)).all())
    for options in ({"points": 4}, {"labelled": (4, 20)}):
        with pytest.raises(DataError, match=r"tasks of 4 labels; expected 5 or more, as classes"):
            FactorTasks(kinds=(5,), **options)

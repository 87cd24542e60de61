"""Data on their way to training."""

import gc
import resource
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset

from mutoscope.inference import fit
from mutoscope.inference.batches import Shuffle, as_split, held_in_memory, splits_of
from mutoscope.zoo.errors import DataError

from .toy import toy_data, toy_pair


class Rows(Dataset):
    """A plain torch data set of named tensors."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return len(self.tensor)

    def __getitem__(self, index):
        return {"data": self.tensor[index]}


class Flagged(Rows):
    """A data set that says of itself that it is for training, as those of torchvision do."""

    train = True


@pytest.mark.parametrize(
    "data",
    [
        {"train": toy_data(), "validation": toy_data(20)},
        {"train": Rows(toy_data()["data"]), "validation": Rows(toy_data(20)["data"])},
        SimpleNamespace(train=toy_data(), validation=toy_data(20)),
    ],
)
def test_splits_come_as_attributes_or_by_name(data):
    run = fit(*toy_pair(), data, max_steps=2, log_every=1, progress=False)
    assert "validation elbo" in run.history[0]


@pytest.mark.parametrize("data", [Flagged(toy_data()["data"]), {"train": torch.zeros(4)}])
def test_what_is_called_train_need_not_be_a_split(data):
    assert splits_of(data) == (data, None)


def test_every_epoch_sees_each_datum_once():
    shuffle = Shuffle(10, 4, seed=0)
    epochs = [torch.cat([shuffle.next() for _ in range(3)]).tolist() for _ in range(4)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 4, 7])
def test_a_shuffle_goes_on_from_its_state(taken):
    first, second = Shuffle(10, 4, seed=0), Shuffle(10, 4, seed=5)
    for _ in range(taken):
        first.next()
    second.restore(*first.state())
    for _ in range(9):
        assert torch.equal(first.next(), second.next())


def test_the_order_depends_on_the_seed_alone():
    torch.manual_seed(0)
    first = Shuffle(100, 100, seed=1).next()
    torch.manual_seed(1)
    assert torch.equal(first, Shuffle(100, 100, seed=1).next())
    assert not torch.equal(first, Shuffle(100, 100, seed=2).next())


def test_a_torch_data_set_trains_like_its_tensors():
    data = toy_data()
    losses = [
        fit(*toy_pair(), each, max_steps=5, log_every=1, progress=False).history[-1]["elbo"]
        for each in (data, Rows(data["data"]))
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("where", ["auto", "device", "stream"])
def test_where_data_are_kept_changes_no_number(where):
    run = fit(*toy_pair(), Rows(toy_data()["data"]), max_steps=5, log_every=1, progress=False,
              data_device=where)  # fmt: skip
    plain = fit(*toy_pair(), toy_data(), max_steps=5, log_every=1, progress=False)
    assert run.history[-1]["elbo"] == plain.history[-1]["elbo"]


def test_streamed_data_are_not_kept():
    split = as_split(Rows(toy_data()["data"]))
    assert held_in_memory(split, torch.device("cpu"), "stream") is split
    assert held_in_memory(split, torch.device("cpu"), "auto") is not split


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1, 2, 3], "Item 0 of the data set is of type int"),
        (None, "expected a data set"),
        (3.0, "expected a data set"),
        ({}, "holds no tensor"),
        ({"data": torch.tensor(1.0)}, "first axis"),
        ({"data": [1.0, 2.0]}, "is a list"),
        ({"data": torch.zeros(0, 3)}, "empty"),
        ({"data": torch.zeros(2, 3), "more": torch.zeros(3)}, "one length"),
        ({"data": torch.full((2, 3), torch.nan)}, "NaN or infinity"),
    ],
    ids=str,
)
def test_what_is_no_data_is_refused(data, said):
    with pytest.raises(DataError, match=said):
        fit(*toy_pair(), data, max_steps=1, progress=False)


def test_items_that_do_not_stack_are_refused():
    class Ragged(Rows):
        def __getitem__(self, index):
            return {"data": torch.zeros(index + 1)}

    with pytest.raises(DataError, match="do not stack"):
        as_split(Ragged(torch.zeros(4, 3))).batch(torch.arange(3))


class Lengthening:
    """A split whose later data are longer."""

    def __len__(self):
        return 4

    def batch(self, indices):
        return {"data": torch.zeros(len(indices), 3 + int(indices.max()))}


def test_data_of_several_shapes_are_streamed_or_refused():
    split = as_split(Lengthening())
    assert held_in_memory(split, torch.device("cpu"), "stream").batch(torch.arange(1, 3))
    with pytest.raises(DataError, match="data_device='stream'"):
        held_in_memory(split, torch.device("cpu"))


class Rendered:
    """Sixty thousand images, made when they are asked for."""

    def __len__(self):
        return 60_000

    def batch(self, indices):
        return {"data": torch.rand(len(indices), 28, 28).flatten(1)[:, :3] + 0 * indices[:, None]}


@pytest.mark.slow
def test_memory_does_not_grow_with_epochs():
    def after(epochs):
        fit(*toy_pair(), Rendered(), max_epochs=epochs, batch_size=256, data_device="stream",
            log_every=500, progress=False)  # fmt: skip
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    one = after(1)
    assert after(5) < 1.02 * one

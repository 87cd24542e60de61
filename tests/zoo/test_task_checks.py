"""What is no task is refused, once, and the message says which, why and what to do."""

import pytest
import torch

from mutoscope.guides.registry import mixed_tasks
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.errors import ConfigError, DataError
from mutoscope.zoo.task_checks import check_room, check_tasks


def tasks():
    return {name: tensor.clone() for name, tensor in mixed_tasks().batch.items()}


def check(batch):
    check_tasks(batch, (6,), 3)


def changed(name, task, value):
    batch = tasks()
    batch[name][task] = value
    return batch


def without(name):
    return {key: tensor for key, tensor in tasks().items() if key != name}


def constant_input():
    batch = tasks()
    batch["inputs"][..., 2] = 1.5
    return batch


def padded_label():
    batch = tasks()
    batch["labels"][4, -1] = torch.nan
    return batch


def few_labels():
    batch = tasks()
    batch["observed"][2] = torch.arange(20) < 2
    batch["labels"][2, :2] = torch.tensor([0.0, 1.0])
    return batch


BAD = {
    "one class": (changed("labels", 1, 1.0), "task 1 whose labels are all the same.*drop it"),
    "no label": (changed("observed", 3, False), "task 3 without any label.*Drop"),
    "halves": (changed("labels", 1, 0.5), "task 1 whose labels are of another kind.*classes=0"),
    "a fourth class": (changed("labels", 2, 3.0), "task 2 whose labels are of another kind"),
    "numbers as classes": (changed("classes", 0, 2), "task 0 whose labels are of another kind"),
    "fewer labels than classes": (few_labels(), "task 2 with fewer labels than classes"),
    "an unknown kind": (changed("classes", 0, 1), "task 0 with classes=.1.*expected 0"),
    "too many classes": (changed("classes", 0, 4), "num_outputs.*largest number of classes"),
    "constant input": (constant_input(), "numbers .2., are the same for all labelled points"),
    "NaN in a point": (changed("inputs", (1, 3, 2), torch.nan), "NaN.*inputs of task 1.*Repair"),
    "NaN for a missing label": (padded_label(), "NaN.*labels of task 4.*observed=False"),
    "an unknown name": (tasks() | {"y": torch.zeros(5)}, "Found tensors.*Rename or drop"),
    "a missing name": (without("observed"), "`observed` is all True"),
    "another shape": (
        tasks() | {"inputs": torch.rand(5, 20, 7)},
        "built for inputs .task, point, 6",
    ),
    "fewer labels": (tasks() | {"labels": torch.rand(5, 19)}, "Pad tasks with fewer points"),
    "whole numbers": (tasks() | {"labels": torch.ones(5, 20).long()}, "Found types.*Convert"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tasks_get_one_clear_error(case):
    batch, message = BAD[case]
    with pytest.raises(DataError, match=f"(?s){message}"):
        check(batch)


def test_good_tasks_pass_and_what_is_not_observed_may_be_anything():
    batch = tasks()
    check(batch)
    batch["labels"][~batch["observed"]] = 7.5
    check(batch)


def test_more_tasks_than_memory_holds_are_refused():
    check_room(1000, 100, 1, 12)
    with pytest.raises(DataError, match=r"Found 100000000 tasks.*GiB.*batch_size"):
        check_room(10**8, 1000, 10, 100)


def test_a_model_asks_whether_there_is_room(monkeypatch):
    model = SparseSharedFeatures(SparseSharedFeatures.Config(input_shape=(6,), num_outputs=3))
    model.check_data(tasks())
    monkeypatch.setattr("mutoscope.zoo.task_checks.memory_of_machine", lambda: 1000)
    with pytest.raises(DataError, match="fewer tasks at a time"):
        model.check_data(tasks())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (6, 6)}, "one or three positive sizes"),
        ({"kinds": (1,)}, "0, 2, or 3 to num_outputs"),
        ({"kinds": (3,)}, "0, 2, or 3 to num_outputs"),
        ({"kinds": ()}, "0, 2, or 3 to num_outputs"),
        ({"network": "convolutional"}, "unless inputs are images"),
        ({"variant": "map", "heads": "horseshoe"}, "where heads are points"),
        ({"sparsity": -1.0}, "zero or positive"),
        ({"label_scale": 0.0}, "positive"),
        ({"num_features": 0}, "at least 1"),
    ],
)
def test_configurations_that_are_none_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SparseSharedFeatures.Config(**{"input_shape": (6,)} | options)


def test_few_points_do_not_have_to_show_that_an_input_changes():
    batch = {name: tensor[:1] for name, tensor in tasks().items()}
    batch["inputs"][..., 2] = 1.5
    check(batch)

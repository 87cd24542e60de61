import numpy as np
import pytest
import torch

from mutoscope.zoo.datasets import LabelledPoints, LabelledTasks, open_tasks, read_table
from mutoscope.zoo.datasets.correlated_points import correlated
from mutoscope.zoo.datasets.labelled_points import kinds_of
from mutoscope.zoo.errors import DataError

NAN = float("nan")


def points(count=300, seed=0):
    """Return points that are their labels: a class, a number and a yes or no."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.stack(
        [
            torch.randint(4, (count,), generator=generator).float(),
            torch.randn(count, generator=generator) * 3 + 1,
            torch.randint(2, (count,), generator=generator).float(),
        ],
        1,
    )
    row = torch.arange(count).float()[:, None]
    return LabelledPoints(
        inputs=torch.cat([labels, row], 1), labels=labels, names=("kind", "size", "bright")
    )


def tasks(**options):
    given = points()
    return LabelledTasks(given.divided(0), **{"num_tasks": 60, "test_tasks": 20} | options)


def test_kinds_are_seen_or_given():
    assert kinds_of(points()) == {"kind": 4, "size": 0, "bright": 2}
    assert kinds_of(points(), {"kind": 0})["kind"] == 0
    with pytest.raises(DataError, match="no numbers of classes"):
        kinds_of(points(), {"size": 5})
    with pytest.raises(DataError, match="labels are kind, size, bright"):
        kinds_of(points(), {"colour": 2})


def test_a_task_asks_for_one_label_of_its_own_points():
    data = tasks()
    batch, truth = data.train.observations, data.train.truth
    assert data.num_outputs == 4
    for task in range(60):
        chosen = int(truth.support[task].nonzero())
        column = batch["inputs"][task, :, chosen]
        labels, kind = batch["labels"][task], int(batch["classes"][task])
        if chosen == 1:
            assert kind == 0
            slope, shift = np.polyfit(column.numpy(), labels.numpy(), 1)
            assert slope == pytest.approx(1 / 3, rel=0.15)
            torch.testing.assert_close(labels, slope * column + shift, atol=1e-4, rtol=0)
        else:
            assert torch.equal(labels, column)
            assert len(labels[:kind].unique()) == kind
    rows = [
        set(split.observations["inputs"][..., 3].flatten().tolist())
        for split in (data.train, data.test)
    ]
    assert not rows[0] & rows[1]


def test_a_few_of_many_classes_are_numbered_anew():
    data = tasks(classes=2)
    batch = data.train.observations
    assert data.num_outputs == 1
    some = batch["classes"] == 2
    assert set(batch["labels"][some].flatten().tolist()) == {0.0, 1.0}
    kinds = batch["inputs"][data.train.truth.support[:, 0]][..., 0]
    assert all(len(task.unique()) == 2 for task in kinds)
    assert len(kinds.unique()) == 4


def test_sums_of_a_few_labels():
    data = tasks(support_sizes=(1, 2))
    batch, truth = data.train.observations, data.train.truth
    assert set(truth.support.sum(1).tolist()) == {1, 2}
    assert bool((batch["classes"] == 2).all())
    assert bool((batch["labels"][:, :2].sum(1) == 1).all())
    of_size = (truth.support == torch.tensor([False, True, False])).all(1)
    sizes, labels = batch["inputs"][of_size][..., 1], batch["labels"][of_size]
    for column, label in zip(sizes, labels, strict=True):
        high, low = column[label == 1], column[label == 0]
        assert high.min() >= low.max() or low.min() >= high.max()


def test_missing_labels_are_left_out():
    given = points()
    labels = given.labels.clone()
    labels[::2, 0] = NAN
    holed = LabelledPoints(inputs=given.inputs, labels=labels, names=given.names)
    data = LabelledTasks(holed.divided(0), num_tasks=40, test_tasks=5, points=200)
    batch = data.train.observations
    short = batch["classes"] == 4
    assert bool(short.any())
    assert batch["observed"][short].sum(1).max() < 150
    assert bool((batch["inputs"][short][batch["observed"][short]][:, 3] % 2 == 1).all())
    assert not bool(batch["inputs"][~batch["observed"]].any())
    assert data.train.truth.factor_value is None
    assert data.train.truth.support.sum(1).eq(1).all()


def test_a_combination_can_be_held_out():
    data = tasks(held_out=True)
    middle = points().labels[:, :2].median(0).values
    seen = data.train.observations["inputs"][..., :2]
    assert not bool(((seen[..., 0] > 2) & (seen[..., 1] > middle[1] + 1)).any())
    unseen = data.unseen.observations
    there = unseen["inputs"][unseen["observed"]]
    assert bool((there[:, 0] >= 1).all())
    assert float(there[:, 1].min()) > middle[1] - 1


@pytest.mark.parametrize("wanted", [0.3, 0.7, 0.95])
def test_two_labels_correlate_in_training_as_asked_and_not_in_tests(wanted):
    given = points(20_000)
    kept = correlated(given, wanted, torch.Generator().manual_seed(0))
    assert np.corrcoef(kept.labels[:, :2].T)[0, 1] == pytest.approx(wanted, abs=0.04)
    assert abs(np.corrcoef(kept.labels[:, 1:].T)[0, 1]) < 0.1
    data = LabelledTasks(given.divided(0), correlation=wanted, num_tasks=300, points=64)
    found = [
        np.corrcoef(split.truth.factor_value[..., :2].flatten(0, 1).T)[0, 1]
        for split in (data.train, data.validation, data.test)
    ]
    assert found == pytest.approx([wanted, wanted, 0.0], abs=0.1)


def test_labels_that_cannot_correlate_are_refused():
    with pytest.raises(DataError, match="expected 0 to below 1"):
        tasks(correlation=1.0)
    alike = points()
    alike = LabelledPoints(
        inputs=alike.inputs, labels=alike.labels[:, [0, 0]], names=alike.names[:2]
    )
    with pytest.raises(DataError, match="goes from 1"):
        correlated(alike, 0.5, torch.Generator())
    single = LabelledPoints(inputs=alike.inputs, labels=alike.labels[:, :1], names=("kind",))
    few = points().rows(torch.arange(3))
    with pytest.raises(DataError, match="of 3 points are left"):
        correlated(few, 0.999, torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="Found a single label"):
        correlated(single, 0.5, torch.Generator())


def test_the_same_seed_gives_the_same_tasks():
    for name, tensor in tasks(seed=2).train.observations.items():
        assert torch.equal(tensor, tasks(seed=2).train.observations[name])
    other = tasks(seed=3).train.observations["inputs"]
    assert not torch.equal(other, tasks(seed=2).train.observations["inputs"])


def test_labels_of_a_table_are_no_factors_and_its_own_rows_can_be_given_to_models(tmp_path):
    rng = np.random.default_rng(0)
    rows = 5 + 3 * rng.normal(size=(400, 2))
    lines = ["a,b,label: size,label:rare"]
    cells = [
        ("" if k % 9 else str(k % 2), "NA" if k % 4 else f"{a}") for k, (a, _) in enumerate(rows)
    ]
    lines += [f"{a},{b},{size},{rare}" for (a, b), (rare, size) in zip(rows, cells, strict=True)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    data = open_tasks(str(path), points=20, num_tasks=30)
    assert data.names == ("size", "rare")
    truth = data.test.truth
    assert truth.factor_value is None
    assert torch.equal(truth.support.sum(1), torch.ones(200, dtype=torch.long))
    scaled = data.scaled(rows)  # of NumPy
    assert scaled.std(0).numpy() == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(data.scaled(torch.tensor(rows)), scaled)
    with pytest.raises(DataError, match="each of own is of shape"):
        data.scaled(rows[:, :1])
    assert data.label_scales.keys() == {"size"}
    path.write_text("\n".join(["a,b,label:c", *(f"{a},{b},{a}" for a, b in rows)]))
    assert open_tasks(str(path), points=20, num_tasks=3).test.truth.factor_value is None
    mean, scale = data.label_scales["size"]
    batch = data.train.observations
    task = int((batch["classes"] == 0).nonzero()[0, 0])
    there = batch["observed"][task]
    labels = mean + scale * batch["labels"][task][there]
    own = torch.tensor(rows[::4], dtype=torch.float32)
    for point, label in zip(batch["inputs"][task][there], labels, strict=True):
        row = (data.scaled(own) - point).abs().sum(1).argmin()
        assert float(own[row, 0]) == pytest.approx(float(label), abs=1e-3)


def test_images_are_halved():
    images = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8)
    given = LabelledPoints(inputs=images, labels=points(40).labels, names=points().names)
    half = given.halved()
    assert half.inputs.shape == (40, 1, 4, 4)
    mean = images[:, :, :2, :2].float().mean((2, 3))
    assert float((half.inputs[:, :, 0, 0].float() - mean).abs().max()) <= 0.51
    with pytest.raises(DataError, match="no less than one pixel"):
        given.halved(4)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"points": 3}, "fewer than the 4 classes"),
        ({"points": 1}, "points=1"),
        ({"classes": 1}, "classes=1"),
        ({"support_sizes": (4,)}, "1 to 3"),
        ({"support_sizes": ()}, "1 to 3"),
        ({"num_tasks": 0}, "num_tasks=0"),
    ],
)
def test_options_out_of_range_are_refused(option, message):
    with pytest.raises(DataError, match=message):
        tasks(**option)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.full((300, 2), NAN)}, "NaN"),
        ({"labels": torch.full((300, 3), torch.inf)}, "'kind': found infinite values"),
        ({"inputs": torch.rand(20, 2)}, "20 points"),
        ({"names": ("a",)}, "1 names"),
    ],
)
def test_points_that_are_none_are_refused(change, message):
    given = {"inputs": points().inputs, "labels": points().labels, "names": points().names}
    with pytest.raises(DataError, match=message):
        LabelledPoints(**given | change)
    for value, count in ((1.0, 1), (NAN, 0)):
        labels = points().labels.clone()
        labels[:, 0] = value
        alike = LabelledPoints(inputs=points().inputs, labels=labels, names=points().names)
        with pytest.raises(DataError, match=f"'kind': found {count} different values"):
            kinds_of(alike)
    inputs = torch.cat([points().inputs, torch.ones(300, 1)], 1)
    idle = LabelledPoints(inputs=inputs, labels=points().labels, names=points().names)
    with pytest.raises(DataError, match=r"inputs \[4\] the same"):
        LabelledTasks(idle.divided(0), num_tasks=2)


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "cells.csv"
    lines = ["width,label:fate,height,label:age"]
    lines += [
        f"{k},{'stem' if k % 3 else 'blood'},{k * k},{'' if k == 4 else k / 2}" for k in range(60)
    ]
    path.write_text("\n".join(lines) + "\n")
    found = read_table(path)
    assert found.names == ("fate", "age")
    torch.testing.assert_close(found.inputs[:, 1], torch.arange(60.0) ** 2)
    assert found.labels[:4, 0].tolist() == [0, 1, 1, 0]
    assert bool(found.labels[4, 1].isnan())
    assert kinds_of(found) == {"fate": 2, "age": 0}
    data = open_tasks(str(path), num_tasks=8, points=10)
    assert data.train.batch([0])["inputs"].shape == (1, 10, 2)
    scaled = data.train.observations["inputs"]
    assert float(scaled.abs().max()) < 3  # and not 60 squared
    assert len(open_tasks(str(path), num_tasks=8, points=10, limit=30).test) == 200
    with pytest.raises(DataError, match="points=0"):
        open_tasks(str(path), points=0)
    with pytest.raises(DataError, match="halved=1"):
        open_tasks("factors", halved=1)
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "begin with 'label:'"),
        ("a,label:b\n1,2\n1\n", r"rows \[3\]"),
        ("a,label:b\n1,2\nblue,3\n", "column 'a' has 1 cells .* first 'blue' in line 3"),
        ("a,label:b\n1,2\nnan,3\n", "no finite numbers, first 'nan'"),
        ("a,label:b\n7,2\n7,3\n", "column 'a' is 7 in all rows"),
        ("a;label:b\n1;2\n", "Commas part the columns"),
        ("a,label:b,label: b\n1,2,3\n", r"several columns called \['label:b'\]"),
        ("", "is empty"),
        ("a,a,label:b\n1,2,3\n", r"several columns called \['a'\]"),
        ("a,label:\n1,2\n", "Name its label after that"),
        ("a,label:b\n1,2.5\n2,high\n", r"'b' has numbers and words, such as \['high'\]"),
        ("a,label:b\n" + "".join(f"{k},w{k}\n" for k in range(21)), "21 different words"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(path)


def test_arrays_of_ones_own(tmp_path):
    path = tmp_path / "cells.npz"
    rng = np.random.default_rng(0)
    np.savez(path, inputs=rng.random((50, 8, 8, 3), dtype=np.float32), age=rng.random(50))
    found = read_table(path)
    assert found.inputs.shape == (50, 3, 8, 8)
    assert found.names == ("age",)
    np.savez(path, inputs=rng.random((50, 8)), age=rng.random(49))
    with pytest.raises(DataError, match="no labels"):
        read_table(path)
    np.savez(path, inputs=rng.random((2, 8)), fate=np.array(["stem", "blood"]))
    with pytest.raises(DataError, match=r"'fate'.*no numbers\. Number classes"):
        read_table(path)
    np.savez(path, inputs=rng.random((2, 8)))
    with pytest.raises(DataError, match=r"no labels\. Add an array"):
        read_table(path)
    np.savez(path, inputs=rng.random((50, 8)), age=rng.random(49))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError):
        read_table(path)
    np.savez(path, inputs=np.array([{}], dtype=object), age=rng.random(1))
    with pytest.raises(DataError):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "label"), [("sprites", "action"), ("shapes3d", "shape"), ("dsprites", "scale")]
)
def test_published_files_are_tasks(data_dir, name, label):
    data = open_tasks(name, data_dir, num_tasks=6, halved=1, points=12)
    assert label in data.names
    batch = data.train.batch(range(6))
    assert batch["inputs"].shape[1:] == (12, *data.input_shape)
    assert data.input_shape[-1] == 32
    assert float(batch["inputs"].max()) <= 1


def test_numbers_that_rarely_differ_do_in_every_task():
    count = torch.zeros(300, 1)
    count[::20, 0] = torch.arange(15.0) / 2
    found = LabelledPoints(inputs=torch.randn(300, 3), labels=count, names=("count",))
    split = LabelledTasks((found,) * 3, kinds={"count": 0}, num_tasks=60, points=16).train
    labels = split.observations["labels"]
    assert bool((labels.amax(1) > labels.amin(1)).all())

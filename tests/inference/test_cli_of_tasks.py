"""Models of tasks on the command line, and what their report rests on."""

import json

import numpy as np
import pytest
import torch

from mutoscope.guides import SparseSharedFeaturesGuide
from mutoscope.guides.registry import mixed_tasks
from mutoscope.inference import Run, fit, task_pictures, task_report
from mutoscope.inference.cli import main
from mutoscope.inference.task_report import few_shot_scores
from mutoscope.zoo import SparseSharedFeatures
from mutoscope.zoo.datasets import (
    FactorTasks,
    LabelledTasks,
    TaskSplit,
    TaskTruth,
    open_tasks,
    read_table,
)
from mutoscope.zoo.errors import DataError

TINY = [
    *("--max-steps", "3", "--quiet", "--draws", "4", "--batch-size", "6"),
    *("--model.hidden_dim", "16", "--guide.hidden_dim", "16", "--model.num_features", "5"),
]
SMALL = [*TINY, "--limit", "12", "--points", "24"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("tasks") / "run"
    assert main(["fit", "sparse-shared-features", "--out", str(out), *SMALL]) == 0
    return out


def test_fit_leaves_its_own_table_heads_and_pictures(folder, capsys):
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "training.png",
        "use.png",
        "heads.png",
        "few_shot.png",
        "importance.png",
    }
    report = json.loads((folder / "report.json").read_text())
    for name in ("accuracy from 10 labels", "features of a task", "factors of a task", "MIG"):
        assert np.isfinite(report[name])
    assert main(["posterior", str(folder), "--draws", "2"]) == 0
    assert "weight: chain 1, draw 2, task 12, output 1, feature 5" in capsys.readouterr().out


def test_pictures_are_drawn_again(folder):
    (folder / "figures" / "heads.png").unlink()
    assert main(["plot", str(folder), "--draws", "3"]) == 0
    assert (folder / "figures" / "heads.png").is_file()


def test_a_model_of_tasks_is_checked_like_any(folder, capsys):
    words = ["--data", "4", "--draws", "30", "--simulations", "0", "--refine", "0"]
    assert main(["check", str(folder), *words]) == 0
    assert "VERDICT" in capsys.readouterr().out


def test_tables_of_ones_own_need_no_truth(tmp_path):
    rng = np.random.default_rng(0)
    inputs, kind = rng.random((80, 3)), rng.integers(0, 3, 80)
    lines = ["a,b,c,label:kind,label:size"]
    lines += [f"{a},{b},{c},{'xyz'[k]},{a + b}" for (a, b, c), k in zip(inputs, kind, strict=True)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    out = tmp_path / "run"
    words = ["--data", str(path), *TINY, "--points", "12"]
    assert main(["fit", "sparse-shared-features", "--out", str(out), *words]) == 0
    assert Run.load(out).model.config.num_outputs == 3
    report = json.loads((out / "report.json").read_text())
    assert {"accuracy from 5 labels", "R² from 5 labels"} <= report.keys()


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("sparse-shared-features", ["--length", "3"], "reads tasks"),
        ("sparse-shared-features", ["--data", "factors", "--support", "square"], "balls"),
        ("sparse-shared-features", ["--data", "nowhere.csv"], "does not exist"),
        ("sparse-shared-features", ["--data", "digits", "--classes", "1"], "classes=1"),
        ("sta", ["--points", "8"], "reads no tasks"),
        ("sta", ["--data", "factors"], "factors"),
    ],
)
def test_what_does_not_fit_is_one_line(model, words, said, tmp_path, capsys):
    words = ["--out", str(tmp_path / "run"), "--max-steps", "1", *words]
    assert main(["fit", model, *words]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_scores_are_of_labels_that_were_not_told(folder):
    """Labels beyond the first ones decide; those of the first points do not count."""
    run = Run.load(folder)
    split = FactorTasks(num_tasks=1, test_tasks=8, points=24, kinds=(2, 0)).test
    scores = few_shot_scores(run, split, 10)
    assert scores["accuracy"].shape == scores["R²"].shape == (4,)
    with pytest.raises(DataError, match="more than 10 labels"):
        few_shot_scores(run, split.with_labels(10), 10)
    assert set(np.round(14 * scores["accuracy"], 4) % 1) == {0.0}
    assert torch.equal(
        torch.as_tensor(scores["R²"]), torch.as_tensor(few_shot_scores(run, split, 10)["R²"])
    )


def test_padding_is_not_scored(tmp_path, monkeypatch):
    """Tasks of a rare label have fewer points than others, and no features beyond these."""
    rng = np.random.default_rng(0)
    lines = ["a,b,label:odd,label:rare"]
    lines += [f"{a},{b},{k % 2},{k // 2 % 10}" for k, (a, b) in enumerate(rng.random((200, 2)))]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(lines))
    counts, dci = [], task_report.dci

    def counted(codes, *rest, **options):
        counts.append(len(codes))
        return dci(codes, *rest, **options)

    monkeypatch.setattr(task_report, "dci", counted)
    monkeypatch.setattr(task_report, "_CODES", 10**6)
    data = LabelledTasks(read_table(path).divided(0), points=24, classes=2, num_tasks=20)
    there = data.test.observations["observed"]
    torch.manual_seed(0)
    model = SparseSharedFeatures(SparseSharedFeatures.Config(input_shape=(2,), num_features=3))
    run = fit(model, SparseSharedFeaturesGuide(model), data, max_steps=2, progress=False)
    task_report.task_report(run, data, tmp_path / "run", draws=2)
    assert not bool(there.all())
    assert counts == [int(there.sum())]


def test_heads_that_read_nothing_are_reported(folder, monkeypatch):
    drawn = task_pictures.variable_with
    monkeypatch.setattr(task_pictures, "variable_with", lambda idata, axis: 0 * drawn(idata, axis))
    data = open_tasks("factors", limit=12, points=24)
    found = task_report.task_report(Run.load(folder), data, folder / "none", draws=4)
    figures = found.by_name()
    assert figures["features that tasks use"] == figures["features of a task"] == 0
    assert figures["F1 of which factors a task depends on"] == 0


def test_outputs_that_a_task_does_not_use_are_not_read():
    """A task of numbers has one output; what is drawn of the others is the prior."""
    example = mixed_tasks()
    torch.manual_seed(0)
    model = SparseSharedFeatures(SparseSharedFeatures.Config(**example.model))
    tensors = example.batch
    support = torch.eye(5, dtype=torch.bool)
    truth = TaskTruth(support=support, factors=("a", "b", "c", "d", "e"))
    split = TaskSplit(**tensors, truth=truth)
    run = Run(model, SparseSharedFeaturesGuide(model))
    idata = run.posterior(split, draws=40, progress=False, groups=("posterior", "constant_data"))
    drawn = task_pictures.heads_of(idata, split)
    used = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=bool)
    assert not drawn[:, ~used].any()
    weight = idata["posterior"]["weight"].to_numpy()[0]
    np.testing.assert_array_equal(drawn[:, used], weight[:, used])
    names = task_pictures.names_of_tasks(idata, split)
    assert names == ["a", "b", "c, 3 classes", "d", "e"]

"""The course of a training: early stopping, best weights, histories, loggers."""

import csv
import math

import pyro
import pytest
import torch
from pyro.distributions import Normal
from torch import nn

from mutoscope.inference import fit, loggers
from mutoscope.zoo.errors import ConfigError, RunError, TrainingError

from .toy import D, ToyConfig, ToyGuide, ToyModel, WithHeldOut, equal, toy_data, toy_pair, weights

OPTIONS = {"batch_size": 16, "log_every": 5, "progress": False}


class Unseen(ToyModel):
    """`z ~ Normal(0, I)`, `data ~ Normal(slope, 0.5)`: a pair whose ELBO has no noise."""

    def forward(self, data, *, size):
        one = torch.ones_like(self.zero)
        with pyro.plate("datum", size, subsample=torch.arange(len(data)), dim=-1):
            pyro.sample("z", Normal(self.zero, one).expand([D]).to_event(1))
            pyro.sample("data", Normal(self.slope * one, 0.5).expand([D]).to_event(1), obs=data)


def by_hand(pair, data, *, longest, steps):
    """Train by plain torch: closed forms, gradients shortened to `longest`, Adam's own step."""
    model, guide = pair
    learned = [*model.parameters(), *guide.parameters()]
    adam = torch.optim.Adam(learned, 0.05)
    lengths = []
    for _ in range(steps):
        location, width = guide.encoder(data).chunk(2, -1)
        width = 0.1 + width.exp()
        divergence = 0.5 * (location**2 + width**2 - 1) - width.log()
        misfit = 2 * (data - model.slope) ** 2
        adam.zero_grad()
        (divergence + misfit).sum(-1).mean().backward()
        lengths.append(float(nn.utils.clip_grad_norm_(learned, longest)))
        adam.step()
    assert min(lengths) < longest < max(lengths)


def test_gradients_are_shortened_to_the_length_that_was_asked_for():
    data, pairs = toy_data(), []
    for _ in range(2):
        torch.manual_seed(0)
        model = Unseen(ToyConfig(slope=3.0, dropout=0.0))
        pairs.append((model, ToyGuide(model)))
    by_hand(pairs[0], data["data"], longest=2.0, steps=60)
    fit(*pairs[1], data, max_steps=60, batch_size=50, gradient_norm=2.0, learning_rate=0.05,
        decay="none", warmup_steps=0, progress=False)  # fmt: skip
    for ours, theirs in zip(*(weights(*pair) for pair in pairs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


class Watcher:
    """A logger that keeps what it is given, and weights at each row."""

    def __init__(self, *modules):
        self.rows, self.modules, self.weights = [], modules, []

    def log_metrics(self, metrics, step):
        self.rows.append((step, dict(metrics)))
        self.weights.append(weights(*self.modules))


def overfitting():
    """Two data to learn from and others to be judged by: the held-out ELBO falls in the end."""
    return WithHeldOut(train=toy_data(2), validation=toy_data(200, seed=2))


def test_the_best_weights_come_back():
    pair = toy_pair(dropout=0.0)
    watcher = Watcher(*pair)
    run = fit(
        *pair, overfitting(), **OPTIONS, max_steps=600, keep="best", loggers=[watcher],
        learning_rate=0.03, decay="none",
    )  # fmt: skip
    scores = [row["validation elbo"] for row in run.history]
    best = max(range(len(scores)), key=scores.__getitem__)
    assert best < len(scores) - 1
    assert equal(weights(*pair), watcher.weights[best])


def test_the_last_weights_stay_by_default():
    pair = toy_pair(dropout=0.0)
    watcher = Watcher(*pair)
    fit(*pair, overfitting(), **OPTIONS, max_steps=50, loggers=[watcher])
    assert equal(weights(*pair), watcher.weights[-1])


def test_patience_stops_so_many_rows_after_the_best():
    run = fit(
        *toy_pair(dropout=0.0), overfitting(), **OPTIONS, max_steps=5000, patience=4,
        learning_rate=0.03, decay="none",
    )  # fmt: skip
    scores = [row["validation elbo"] for row in run.history]
    assert len(scores) == scores.index(max(scores)) + 1 + 4
    assert run.history[-1]["step"] < 5000


@pytest.mark.parametrize("options", [{"patience": 3}, {"keep": "best"}])
def test_watching_the_held_out_elbo_needs_held_out_data(options):
    with pytest.raises(ConfigError, match="held-out data, but there are none"):
        fit(*toy_pair(), toy_data(), **OPTIONS, **options)


def test_epochs_count_passes_over_the_data():
    run = fit(*toy_pair(), toy_data(50), **OPTIONS, max_epochs=3)
    assert run.history[-1]["step"] == 3 * 4


def test_rows_are_means_over_data_whatever_the_last_batch_holds():
    pair = toy_pair(dropout=0.0)
    data = toy_data(50)
    data["data"][:16] += 5.0  # one batch would dominate if batches counted alike
    run = fit(*pair, data, batch_size=49, log_every=2, max_steps=2, learning_rate=1e-12,
              progress=False)  # fmt: skip
    per_datum = fit(*pair, data, batch_size=50, log_every=1, max_steps=1, learning_rate=1e-12,
                    progress=False)  # fmt: skip
    expected = per_datum.history[0]["KL(z)"]
    assert run.history[0]["KL(z)"] == pytest.approx(expected, rel=1e-4)


def test_the_history_is_on_disk_while_training_runs(tmp_path):
    seen = []

    class Reader:
        def log_metrics(self, metrics, step):
            with (tmp_path / "history.csv").open() as file:
                seen.append([int(row["step"]) for row in csv.DictReader(file)])

    fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=15, out=tmp_path, loggers=[Reader()])
    assert seen == [[5], [5, 10], [5, 10, 15]]


def test_loggers_get_every_row():
    watcher = Watcher()
    run = fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=15, loggers=[watcher])
    assert watcher.rows == [(row["step"], row) for row in run.history]


class Watching(ToyGuide):
    """Watches the mean of held-out data; it draws on the way, without dropout."""

    def watched(self, batch):
        assert not self.training
        torch.randn(3)
        return {"mean of data": float(batch["data"].mean())}


def test_what_the_guide_watches_is_a_column_and_leaves_training_as_it_is(tmp_path):
    plain = fit(*toy_pair(dropout=0.2), WithHeldOut(), **OPTIONS, max_steps=15)
    model, _ = toy_pair(dropout=0.2)
    torch.manual_seed(0)
    ToyModel(model.config)
    watched = fit(model, Watching(model), WithHeldOut(), **OPTIONS, max_steps=15, out=tmp_path)
    mean = float(WithHeldOut().validation["data"].mean())
    for row, other in zip(watched.history, plain.history, strict=True):
        assert row.pop("mean of data") == pytest.approx(mean)
        assert row.keys() == other.keys()
        assert row["elbo"] == other["elbo"]
    with (tmp_path / "history.csv").open() as file:
        assert all(
            float(row["mean of data"]) == pytest.approx(mean) for row in csv.DictReader(file)
        )
    assert not any("mean of data" in row for row in fit(
        model, Watching(model), toy_data(), **OPTIONS, max_steps=5).history)  # fmt: skip


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"elbo": 0.0}, r"returns \['elbo'\], which are columns of the history"),
        ({"mean": None}, "Watching.watched fails on held-out data"),
    ],
)
def test_what_is_watched_are_numbers_by_names_of_their_own(found, said):
    model, _ = toy_pair()
    guide = Watching(model)
    guide.watched = lambda batch: found
    with pytest.raises(ConfigError, match=said):
        fit(model, guide, WithHeldOut(), **OPTIONS, max_steps=5)


def test_tensorboard_gets_every_row(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=15, out=tmp_path,
              loggers=["tensorboard"])  # fmt: skip
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("elbo")]
    assert logged == [(row["step"], pytest.approx(row["elbo"])) for row in run.history]


def test_loggers_that_were_opened_are_closed_and_others_are_left_open(tmp_path, monkeypatch):
    closed = []

    class Opened(Watcher):
        def __init__(self, folder):
            super().__init__()

        def close(self, error, *_):
            closed.append(error)

    monkeypatch.setattr(loggers, "_TensorBoard", Opened)
    given = {"max_steps": 5, "out": tmp_path, "loggers": ["tensorboard", Watcher()]}
    fit(*toy_pair(), toy_data(), **OPTIONS, **given)
    assert closed == [None]
    data = toy_data()
    data["data"][7] = 1e30
    with pytest.raises(TrainingError):
        fit(*toy_pair(), data, **OPTIONS, **given, overwrite=True)
    assert closed == [None, TrainingError]


def test_loggers_count_the_steps_of_all_candidates():
    watcher = Watcher()
    fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=50, restarts=3, loggers=[watcher])
    assert [step for step, _ in watcher.rows] == [*range(5, 75, 5)]


class Normalised(ToyGuide):
    """A guide that takes statistics of its batch."""

    def __init__(self, model):
        super().__init__(model)
        self.drop = torch.nn.BatchNorm1d(3)


def test_statistics_of_a_batch_that_failed_are_forgotten():
    model = ToyModel()
    guide = Normalised(model)
    data = toy_data()
    data["data"][2] = 1e38  # finite, but not its square
    with pytest.raises(TrainingError, match=r"Step [^1]"):
        fit(model, guide, data, **OPTIONS | {"batch_size": 5}, max_steps=50)
    assert all(bool(value.isfinite().all()) for value in weights(model, guide))
    assert guide.drop.num_batches_tracked > 0


@pytest.mark.parametrize("options", [{"batch_size": 7}, {"batch_size": 16, "accumulate": 2}])
def test_batches_without_statistics_are_refused(options):
    model = ToyModel()
    with pytest.raises(ConfigError, match="another batch_size"):
        fit(model, Normalised(model), toy_data(), **OPTIONS | options, max_steps=5)


def test_too_little_memory_says_what_to_do():
    class Large(Watcher):
        def log_metrics(self, metrics, step):
            raise torch.OutOfMemoryError("Tried to allocate 20 GiB.")

    with pytest.raises(TrainingError, match=r"20 GiB.*accumulate"):
        fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=5, loggers=[Large()])


def test_a_history_that_cannot_be_written_is_one_clear_error(tmp_path):
    class Remover(Watcher):
        def log_metrics(self, metrics, step):
            path = tmp_path / "history.csv"
            path.unlink(missing_ok=True)
            path.mkdir(exist_ok=True)

    with pytest.raises(RunError, match=r"history\.csv cannot be written.*mutoscope resume"):
        fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=20, out=tmp_path, loggers=[Remover()])


@pytest.mark.parametrize("name", ["tensorbord", "mlflow"])
def test_an_unknown_logger_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="There is no logger"):
        fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=5, loggers=[name], out=tmp_path)


def test_a_logger_of_files_needs_a_folder():
    with pytest.raises(ConfigError, match="Give `out`"):
        fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=5, loggers=["tensorboard"])


def test_held_out_data_are_scored_in_evaluation_mode_and_with_the_same_noise():
    data = WithHeldOut()
    runs = [
        fit(*toy_pair(dropout=rate), data, **OPTIONS, max_steps=5, learning_rate=1e-12)
        for rate in (0.0, 0.9)
    ]
    scores = [run.history[0]["validation elbo"] for run in runs]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_pairs_are_in_evaluation_mode_afterwards_and_train_again_from_there():
    pair = toy_pair()
    fit(*pair, toy_data(), **OPTIONS, max_steps=5)
    assert not any(module.training for module in pair)
    modes = []
    pair[1].drop.register_forward_hook(lambda module, *_: modes.append(module.training))
    fit(*pair, toy_data(), **OPTIONS, max_steps=5)
    assert modes[-1]


def test_the_bar_shows_terms_and_data_per_second(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    fit(*toy_pair(), toy_data(), batch_size=16, log_every=5, max_steps=10)
    shown = capsys.readouterr().out
    assert "elbo" in shown
    assert "KL(z)" in shown
    assert "/s" in shown
    assert "starts" not in shown
    fit(*toy_pair(), toy_data(), batch_size=16, log_every=5, max_steps=10, restarts=3)
    assert "training, 3 starts" in capsys.readouterr().out


def test_bf16_trains_close_to_single_precision():
    runs = [
        fit(*toy_pair(dropout=0.0), toy_data(), **OPTIONS, max_steps=100, precision=precision)
        for precision in ("32-true", "bf16-mixed", "64-true")
    ]
    elbos = [run.history[-1]["elbo"] for run in runs]
    assert all(math.isfinite(elbo) for elbo in elbos)
    assert elbos[1] == pytest.approx(elbos[0], abs=0.3)


@pytest.mark.parametrize("options", [{"accelerator": "abacus"}, {"strategy": "ddp_spawn"}])
def test_an_impossible_device_is_one_clear_error(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=5, **options)


def test_a_double_precision_model_stays_double():
    pair = [module.double() for module in toy_pair()]
    data = {"data": toy_data()["data"].double()}
    fit(*pair, data, **OPTIONS, max_steps=5)
    assert all(p.dtype == torch.float64 for module in pair for p in module.parameters())


def test_compiled_training_gives_the_numbers_of_plain_training():
    runs = [
        fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=20, compile=compiled)
        for compiled in (False, True)
    ]
    elbos = [[row["elbo"] for row in run.history] for run in runs]
    assert elbos[0] == pytest.approx(elbos[1], rel=1e-4)


def test_what_cannot_be_captured_trains_all_the_same_after_a_warning():
    class Reading(ToyModel):
        def forward(self, data=None, *, size=None):
            assert bool(self.slope.isfinite())  # reads the device: no graph can hold that
            return super().forward(data, size=size)

    torch.manual_seed(0)
    model = Reading()
    with pytest.warns(UserWarning, match="cannot be one graph"):
        run = fit(model, ToyGuide(model), toy_data(), **OPTIONS, max_steps=20, compile=True)
    plain = fit(*toy_pair(), toy_data(), **OPTIONS, max_steps=20)
    assert run.history[-1]["elbo"] == pytest.approx(plain.history[-1]["elbo"], rel=1e-4)


def test_held_out_data_without_a_finite_elbo_are_reported():
    data = WithHeldOut(validation={"data": torch.full((4, 3), 1e30)})
    with pytest.raises(TrainingError, match="held-out data"):
        fit(*toy_pair(), data, **OPTIONS, max_steps=10)


@pytest.mark.parametrize(("steps", "early"), [(100, 20), (4, 1)])
def test_each_restart_takes_a_fifth_of_the_steps_whatever_the_rows(steps, early):
    model, guide = toy_pair()
    taken = []
    guide.drop.register_forward_hook(lambda module, *_: taken.append(module.training))
    run = fit(model, guide, toy_data(), batch_size=16, log_every=50, progress=False,
              max_steps=steps, restarts=3)  # fmt: skip
    assert sum(taken) == 2 * early + steps
    assert len(run.settings["restart scores"]) == 3


def test_the_best_of_the_restarts_is_what_its_seed_gives_alone():
    options = OPTIONS | {"max_steps": 40, "learning_rate": 0.03}
    for seed in range(20):
        pair = toy_pair(seed)
        run = fit(*pair, WithHeldOut(), **options, restarts=3, seed=seed)
        scores = run.settings["restart scores"]
        if scores.index(max(scores)) == 1:
            break
    alone = toy_pair(seed + 1)
    fit(*alone, WithHeldOut(), **options, seed=seed + 1)
    assert equal(weights(*pair), weights(*alone))

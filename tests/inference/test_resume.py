"""A training that was stopped goes on and ends as if nothing had happened."""

import os
import random
import signal
import threading
import time
from functools import partial

import pytest
import torch
from torch import nn

from mutoscope.guides import VariationalAutoencoderGuide
from mutoscope.inference import Run, capture, fit, resume
from mutoscope.inference.checkpoint import has_checkpoint
from mutoscope.inference.run import read_run
from mutoscope.zoo import VariationalAutoencoder
from mutoscope.zoo.errors import ConfigError, DataError, Interrupted, RunError, TrainingError
from mutoscope.zoo.schedules import Windows

from .toy import D, WithHeldOut, equal, toy_data, toy_pair, weights

STEPS = 60
OPTIONS = {"max_steps": STEPS, "batch_size": 16, "log_every": 7, "progress": False}


def in_child(action):
    """Run something in a forked process; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        action()
    finally:
        os._exit(0)


def straight(**options):
    pair = toy_pair()
    fit(*pair, options.pop("data", toy_data()), **OPTIONS | options)
    return weights(*pair)


def go_on(folder, data=None):
    pair = toy_pair(seed=9)
    if read_run(folder)["state"] == "finished":
        Run.load(folder, pair)
    else:
        resume(folder, data or toy_data(), pair=pair, progress=False)
    return weights(*pair)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"restarts": 3},
        {"keep": "best", "data": WithHeldOut()},
        {"accumulate": 3},
        {"particles": 2, "beta": 2.0, "weight_decay": 0.1},
    ],
    ids=["plain", "restarts", "best", "accumulate", "particles"],
)
def test_killed_at_random_moments_it_ends_with_the_same_weights(tmp_path, options):
    data = options.get("data", toy_data())
    started = time.monotonic()
    expected = straight(**options, out=tmp_path / "straight", checkpoint_seconds=0.0)
    whole = time.monotonic() - started
    chance = random.Random(0)
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        child = in_child(
            lambda folder=folder: straight(**options, out=folder, checkpoint_seconds=0.0)
        )
        time.sleep(chance.uniform(0.1, 1.0) * whole)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if has_checkpoint(folder):
            assert equal(go_on(folder, data), expected)


def test_checkpoints_do_not_disturb_training(tmp_path):
    assert equal(straight(out=tmp_path, checkpoint_seconds=0.0), straight())


def off_by_a_little(graph, inputs):
    """Compile nothing, but show that a graph ran: its loss and gradients are a little larger."""

    def run(*given):
        return tuple(x if x is None else x * 1.01 for x in graph(*given))

    return run


def failing(graph, inputs):
    raise FileNotFoundError("g++")


@pytest.mark.filterwarnings("ignore:The loss cannot be one graph")
@pytest.mark.parametrize("backend", [off_by_a_little, failing])
def test_captured_training_goes_on_exactly_wherever_it_stopped(tmp_path, monkeypatch, backend):
    monkeypatch.setattr(capture, "Captured", partial(capture.Captured, backend=backend))
    whole = partial(capture.compile_networks, backend="eager")
    monkeypatch.setattr(capture, "compile_networks", whole)
    options = {"compile": True, "log_every": 1, "max_steps": 12}
    expected = straight(**options)
    assert (backend is off_by_a_little) != equal(expected, straight(**options | {"compile": False}))
    for step in (2, 3, 4):  # the fourth batch is a short one
        folder = tmp_path / str(step)
        stop_after(step, folder, **options)
        assert equal(go_on(folder), expected), step


def convolutional_pair(seed=0):
    """A pair whose guide has a convolution, which a captured step lays out anew."""
    model, guide = toy_pair(seed)
    layers = (
        nn.Unflatten(1, (1, 1, D)),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Conv2d(4, 2, (1, 3), padding=(0, 1)),
    )
    guide.encoder = nn.Sequential(*layers, nn.Flatten())
    return model, guide


def test_kernels_that_were_laid_out_anew_go_on_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(capture, "Captured", partial(capture.Captured, backend="eager"))
    options = OPTIONS | {"compile": True, "log_every": 1, "max_steps": 12, "learning_rate": 0.05}
    straight, cut, plain = (convolutional_pair() for _ in range(3))
    fit(*straight, toy_data(), **options)
    fit(*plain, toy_data(), **options | {"compile": False})
    with pytest.raises(Interrupted):
        fit(*cut, toy_data(), **options, out=tmp_path, loggers=[Stopper(5)])
    other = convolutional_pair(seed=9)
    resume(tmp_path, toy_data(), pair=other, progress=False)
    assert equal(weights(*other), weights(*straight))
    for ours, theirs in zip(weights(*plain), weights(*straight), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def pair_with_windows(seed=0):
    torch.manual_seed(seed)
    config = VariationalAutoencoder.Config(
        image_shape=(1, 3, 3), latent_dim=2, decoder_hidden_dim=4
    )
    model = VariationalAutoencoder(config)
    model.windows = Windows(axis="frame", length=2, until=1.0)
    return model, VariationalAutoencoderGuide(model)


def test_windows_go_on_where_they_were(tmp_path):
    data = {"images": torch.rand(20, 6, 1, 3, 3, generator=torch.Generator().manual_seed(0))}
    whole, cut = pair_with_windows(), pair_with_windows()
    options = OPTIONS | {"max_steps": 12, "log_every": 1}
    fit(*whole, data, **options)
    with pytest.raises(Interrupted):
        fit(*cut, data, **options, out=tmp_path, loggers=[Stopper(5)])
    other = pair_with_windows(seed=9)
    resume(tmp_path, data, pair=other, progress=False)
    assert equal(weights(*other), weights(*whole))


def test_what_cannot_be_captured_trains_and_says_so_once(monkeypatch):
    monkeypatch.setattr(capture, "Captured", partial(capture.Captured, backend=failing))
    with pytest.warns(UserWarning, match=r"one graph \(.*g\+\+.*by themselves") as seen:
        compiled = straight(compile=True)
    assert len(seen) == 1
    assert equal(compiled, straight())


def test_a_run_that_went_on_has_the_same_history(tmp_path):
    whole = fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path / "whole")
    stop_after(30, tmp_path / "cut")
    rest = resume(tmp_path / "cut", toy_data(), pair=toy_pair(seed=9), progress=False)
    rows = [[{**row, "seconds": 0} for row in run.history] for run in (whole, rest)]
    assert rows[0] == rows[1]
    assert Run.load(tmp_path / "cut", toy_pair()).history == rest.history


class Stopper:
    """A logger that sends a signal, once, when a step is reached."""

    def __init__(self, step, number=signal.SIGTERM):
        self.step, self.number = step, number

    def log_metrics(self, metrics, step):
        if step >= self.step:
            self.step = float("inf")
            os.kill(os.getpid(), self.number)
            time.sleep(0.01)


def stop_after(step, folder, number=signal.SIGTERM, **options):
    with pytest.raises(Interrupted, match="go on with"):
        fit(
            *toy_pair(),
            toy_data(),
            **OPTIONS | options,
            out=folder,
            loggers=[Stopper(step, number)],
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, number):
    before = signal.getsignal(number)
    stop_after(20, tmp_path, number)
    assert equal(go_on(tmp_path), straight())
    assert signal.getsignal(number) == before


def test_handlers_of_signals_are_put_back(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_training_in_a_thread_leaves_signals_alone(tmp_path):
    done = []
    thread = threading.Thread(
        target=lambda: done.append(fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path))
    )
    thread.start()
    thread.join()
    assert len(done) == 1


def test_it_may_go_on_for_longer(tmp_path):
    stop_after(20, tmp_path)
    run = resume(tmp_path, toy_data(), pair=toy_pair(), max_steps=80, progress=False)
    assert run.history[-1]["step"] == 80
    assert run.settings["fit"]["max_steps"] == 80


def test_other_options_may_not_change(tmp_path):
    stop_after(20, tmp_path)
    with pytest.raises(ConfigError, match="keeps its batch_size"):
        resume(tmp_path, toy_data(), pair=toy_pair(), batch_size=3, progress=False)


def test_other_data_are_refused(tmp_path):
    stop_after(20, tmp_path)
    with pytest.raises(DataError, match="the same data"):
        resume(tmp_path, toy_data(seed=5), pair=toy_pair(), progress=False)
    with pytest.raises(DataError, match="the same data"):
        resume(tmp_path, toy_data(count=51), pair=toy_pair(), progress=False)


def test_another_model_is_refused(tmp_path):
    stop_after(20, tmp_path)
    pair = toy_pair()
    pair[1].encoder = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 6))
    with pytest.raises(RunError, match="not of this model"):
        resume(tmp_path, toy_data(), pair=pair, progress=False)


def test_a_folder_without_a_training_cannot_go_on(tmp_path):
    with pytest.raises(RunError, match="not a run"):
        resume(tmp_path, toy_data(), pair=toy_pair(), progress=False)


def test_a_run_is_not_replaced_unasked(tmp_path):
    fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path)
    with pytest.raises(RunError, match="holds a run"):
        fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path)
    fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path, overwrite=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    from safetensors import torch as safe

    writes = []
    save_file = safe.save_file

    def full_after_three(tensors, path):
        writes.append(path)
        if len(writes) > 3:
            path.write_bytes(b"half a fi")
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    monkeypatch.setattr(safe, "save_file", full_after_three)
    with pytest.raises(RunError, match="No space left"):
        fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path, checkpoint_seconds=0.0)
    monkeypatch.undo()
    assert equal(go_on(tmp_path), straight())


def test_a_damaged_checkpoint_is_refused(tmp_path):
    stop_after(20, tmp_path)
    path = tmp_path / "checkpoint" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"state\.safetensors"):
        resume(tmp_path, toy_data(), pair=toy_pair(), progress=False)


def test_a_change_of_options_outlives_the_next_interruption(tmp_path):
    stop_after(20, tmp_path)
    with pytest.raises(Interrupted):
        resume(tmp_path, toy_data(), pair=toy_pair(), max_steps=80, progress=False,
               loggers=[Stopper(40)])  # fmt: skip
    run = resume(tmp_path, toy_data(), pair=toy_pair(), progress=False)
    assert run.history[-1]["step"] == 80


def test_what_was_found_of_an_overwritten_run_is_gone(tmp_path):
    fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path)
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "figures").mkdir()
    (tmp_path / "mine.txt").write_text("kept")
    fit(*toy_pair(), toy_data(), **OPTIONS, out=tmp_path, overwrite=True)
    assert not (tmp_path / "report.json").exists()
    assert not (tmp_path / "figures").exists()
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_a_failure_is_not_skipped_by_a_signal_where_the_device_is_read_at_rows_only(
    tmp_path, monkeypatch
):
    from mutoscope.inference.session import Session

    started = Session.__init__

    def elsewhere(self, *arguments):
        started(self, *arguments)
        self._on_host = False

    monkeypatch.setattr(Session, "__init__", elsewhere)
    model, guide = toy_pair()
    calls = []

    def break_and_stop(*_):
        calls.append(None)
        if len(calls) == 12:
            model.slope.data.fill_(torch.nan)
            os.kill(os.getpid(), signal.SIGTERM)

    handle = guide.encoder.register_forward_hook(break_and_stop)
    with pytest.raises(TrainingError):
        fit(model, guide, toy_data(), **OPTIONS | {"log_every": 50}, out=tmp_path)
    handle.remove()

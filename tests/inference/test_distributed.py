"""Several processes train as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mutoscope.inference import Run, fit
from mutoscope.inference.elbo import Elbo
from mutoscope.inference.sentinel import replay_failure
from mutoscope.zoo.errors import ConfigError

from .toy import WithHeldOut, toy_pair, weights

OPTIONS = {"max_steps": 40, "batch_size": 16, "log_every": 5}  # 50 data: batches of 16, 16, 16, 2
SCRIPT = """
import atexit, sys
import torch.distributed
left = lambda: open({out!r} + "-left", "a").write(f"{{not torch.distributed.is_initialized()}} ")
atexit.register(left)  # what is registered first runs last
sys.path.insert(0, {folder!r})
from toy import WithHeldOut, toy_data, toy_pair
from mutoscope.inference import fit
fit(*toy_pair(), WithHeldOut(), progress=False, **{options!r})
"""


FAILING = """
import sys
sys.path.insert(0, {folder!r})
import os, torch
from toy import WithHeldOut, toy_data, toy_pair
from mutoscope.inference import fit
from mutoscope.zoo.errors import MutoscopeError
rank = os.environ.get("LOCAL_RANK", "0")
class Full:
    def log_metrics(self, metrics, step):
        if step >= 10 and {how!r} == "logger":
            raise OSError("No space left on device")
data = toy_data()
if {how!r} == "data":
    data["data"][7] = 1e30
try:
    fit(*toy_pair(), data, progress=False, loggers=[Full()], **{options!r})
except (MutoscopeError, OSError) as error:
    open({out!r} + "-" + rank, "w").write(f"{{type(error).__name__}}: {{error}}")
"""


def in_processes(tmp_path, **options):
    """Train in two processes that the script starts itself; return the run."""
    out = tmp_path / "run"
    options = OPTIONS | options | {"out": str(out)}
    execute(tmp_path, SCRIPT, out=str(out), options=options)
    assert set(Path(f"{out}-left").read_text().split()) == {"True"}
    return Run.load(out, toy_pair(seed=5))


def execute(tmp_path, text, *, options, **values):
    script = tmp_path / "train.py"
    options |= {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    script.write_text(text.format(folder=str(Path(__file__).parent), options=options, **values))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def errors_of_both(tmp_path, how):
    """Train in two processes until both are stopped; return why each was."""
    out = tmp_path / "run"
    execute(tmp_path, FAILING, how=how, out=str(out), options=OPTIONS | {"out": str(out)})
    return [Path(f"{out}-{rank}").read_text() for rank in range(2)]


def test_what_failed_is_named_by_all_whoever_held_it(tmp_path):
    first, second = errors_of_both(tmp_path, "data")
    assert first == second
    assert "not finite" in first
    facts = json.loads((tmp_path / "run" / "failure" / "failure.json").read_text())
    assert 7 in facts["indices"], "the data of the part that failed"
    assert len(facts["indices"]) <= 8, "and of that part alone"
    model, guide = toy_pair()
    batch, facts = replay_failure(tmp_path / "run" / "failure", model, guide)
    assert not Elbo(model, guide)(batch, size=facts["size"]).objective.isfinite()


def test_nobody_waits_for_a_first_process_that_stopped(tmp_path):
    first, second = errors_of_both(tmp_path, "logger")
    assert first == "OSError: No space left on device"
    assert second == "RunError: The first process stopped: No space left on device"


def test_a_parameter_without_use_is_named_where_devices_would_wait_for_its_gradient():
    model, guide = toy_pair()
    model.spare = torch.nn.Parameter(torch.zeros(()))
    with pytest.raises(ConfigError, match=r"spare.*requires_grad_"):
        fit(model, guide, WithHeldOut(), **OPTIONS, devices=2, accelerator="cpu")


def in_one(**options):
    return fit(*toy_pair(), WithHeldOut(), **OPTIONS | options, progress=False)


@pytest.mark.parametrize(
    "options", [{"checkpoint_seconds": 0.0}, {"compile": True}], ids=["eager", "captured"]
)
def test_two_processes_give_the_numbers_of_one(tmp_path, options):
    one, two = in_one(accumulate=2), in_processes(tmp_path, **options)
    assert len(one.history) == len(two.history)
    for first, second in zip(one.history, two.history, strict=True):
        for name in first.keys() - {"seconds"}:
            assert first[name] == pytest.approx(second[name], rel=1e-5, abs=1e-5), name
    for a, b in zip(weights(one.model, one.guide), weights(two.model, two.guide), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def test_parts_of_a_batch_have_noise_of_their_own():
    one, two = in_one(), in_one(accumulate=2)
    assert one.history[0]["elbo"] != two.history[0]["elbo"]


def test_more_parts_than_data_in_the_last_batch_change_nothing_but_noise():
    run = in_one(accumulate=3, particles=64)
    plain = in_one(particles=64)
    assert run.history[-1]["elbo"] == pytest.approx(plain.history[-1]["elbo"], abs=0.1)

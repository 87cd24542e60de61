"""Several processes train as one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mutoscope.inference import Run, fit

from .toy import WithHeldOut, toy_pair, weights

OPTIONS = {"max_steps": 40, "batch_size": 16, "log_every": 5}  # 50 data: batches of 16, 16, 16, 2
SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from toy import WithHeldOut, toy_data, toy_pair
from mutoscope.inference import fit
fit(*toy_pair(), WithHeldOut(), progress=False, **{options!r})
"""


def in_processes(tmp_path, **options):
    """Train in two processes that the script starts itself; return the run."""
    out = tmp_path / "run"
    options = OPTIONS | options | {"out": str(out)}
    options |= {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(folder=str(Path(__file__).parent), options=options))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return Run.load(out, toy_pair(seed=5))


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

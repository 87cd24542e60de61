"""What memory a posterior takes that is streamed to disk, beside that of the model itself.

    python benchmarks/posterior_memory.py [--data 10000] [--draws 200] [--zarr]

Sparse speeds of four fields over eight times, measured with noise. A process of its own builds the
pair and its data, draws once for a batch, and notes the peak of its memory; then it streams all
draws and groups, and notes it again. Prints megabytes and seconds as JSON.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import pyro
import torch
from pyro.distributions import Independent, LogNormal, Normal
from torch import Tensor, nn

from mutoscope.inference import Run
from mutoscope.zoo.distributions import MarkovSpikeAndSlab, SpikeAndSlab

TIMES, FIELDS = 8, 4
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # of the kernel's count, in bytes


class Model(nn.Module):
    """Speeds that are mostly zero, and what they sum up to, measured with noise."""

    dims: ClassVar = {
        "speed": ("sequence", "time", "field"),
        "path": ("sequence", "time"),
        "seen": ("sequence", "time"),
    }

    def forward(self, seen: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Run the generative story."""
        count = size or 1 if seen is None else len(seen)
        slab = LogNormal(torch.tensor(0.0), 0.3)
        with pyro.plate("sequence", size or count, subsample=torch.arange(count), dim=-1):
            prior = MarkovSpikeAndSlab(slab, length=TIMES, num_fields=FIELDS)
            speed = pyro.sample("speed", prior)
            path = pyro.deterministic("path", speed.sum(-1).cumsum(-1), event_dim=1)
            return pyro.sample("seen", Normal(path, 0.1).to_event(1), obs=seen)


class Guide(nn.Module):
    """Reads spikes and slabs off the measurements."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(TIMES, TIMES * FIELDS * 2)

    def forward(self, seen: Tensor, *, size: int | None = None) -> None:
        """Draw the speeds of every sequence."""
        logits, location = self.net(seen).unflatten(-1, (2, TIMES, FIELDS)).unbind(-3)
        with pyro.plate("sequence", size or len(seen), subsample=torch.arange(len(seen)), dim=-1):
            pyro.sample("speed", Independent(SpikeAndSlab(logits, LogNormal(location, 0.2)), 1))


def measure(data: int, draws: int, name: str) -> dict[str, float]:
    """Stream a posterior to a file or folder that is deleted again, and return what that took."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    run = Run(Model(), Guide())
    seen = torch.randn(data, TIMES)
    run.posterior({"seen": seen[:256]}, draws=1)
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        path, start = Path(folder) / name, time.perf_counter()
        run.posterior({"seen": seen}, draws=draws, out=path)
        seconds = time.perf_counter() - start
        size = sum(part.stat().st_size for part in (path, *path.rglob("*")) if part.is_file())
    return {
        "file": round(size / 1e6),
        "memory before": round(before / 1e6),
        "memory above": round((peak() - before) / 1e6),
        "seconds": round(seconds, 1),
    }


def peak() -> int:
    """Return the most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=int, default=10_000, help="number of sequences")
    options.add_argument("--draws", type=int, default=200, help="number of draws of each")
    options.add_argument("--zarr", action="store_true", help="to a Zarr folder, not netCDF")
    chosen = options.parse_args()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        name = f"posterior.{'zarr' if chosen.zarr else 'nc'}"
        print(json.dumps(pool.apply(measure, (chosen.data, chosen.draws, name))))


if __name__ == "__main__":
    main()

"""Time of a training step of flows: regularised or not, through Pyro or not, ours or stock layers.

    python benchmarks/flow_step.py

Programs run in turns on one thread. CPU time of the process is what counts: it hardly depends on
what else the machine does. The last column compares with the first row. With zuko installed, its
spline is measured too.
"""

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable

import normflows
import pyro
import torch
from torch import nn

from mutoscope.guides import EntropyOrderedFlowGuide
from mutoscope.inference.elbo import Elbo
from mutoscope.zoo import EntropyOrderedFlow
from mutoscope.zoo.flows import FlowTransform, Permutation, SplineCoupling
from mutoscope.zoo.nets import mlp

BATCH, LAYERS, BINS = 256, 8, 8

Step = Callable[[], object]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=9, help="runs of each program")
    repeats = options.parse_args().repeats
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for dim in (2, 64):
        print(f"Step of an entropy-ordered flow (B={BATCH}, D={dim}, {LAYERS} x affine)")
        report(measure(regularised(dim), repeats))
        print(f"Step through Pyro (B={BATCH}, D={dim}, {LAYERS} x affine)")
        report(measure(through_pyro(dim), repeats))
    print(f"Step of a spline flow (B={BATCH}, D=64, {LAYERS} layers, {BINS} bins)")
    report(measure(splines(64), repeats))


def measure(programs: dict[str, Step], repeats: int) -> dict[str, float]:
    """Return the median CPU time of each program in seconds, run in turns."""
    for step in programs.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, step in programs.items():
            before = time.process_time()
            for _ in range(3):
                step()
            taken[name].append((time.process_time() - before) / 3)
    return {name: statistics.median(times) for name, times in taken.items()}


def report(found: dict[str, float]) -> None:
    first = next(iter(found.values()))
    for name, seconds in found.items():
        print(f"  {name:42s} {1e3 * seconds:8.1f} ms  {seconds / first:5.2f}")


def stepper(module: nn.Module, loss: Callable[[], torch.Tensor]) -> Step:
    """Return a step of Adam on a loss."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def regularised(dim: int) -> dict[str, Step]:
    x = torch.randn(BATCH, dim)
    found = {}
    for name, weight, estimator in (
        ("likelihood alone", 0.0, "rows"),
        ("with rows of the encoder", 1.0, "rows"),
        ("with columns of the decoder", 1.0, "columns"),
    ):
        config = EntropyOrderedFlow.Config(
            image_shape=(dim,), total_correlation=weight, estimator=estimator, couplings=LAYERS
        )
        model = EntropyOrderedFlow(config)
        elbo = Elbo(model, EntropyOrderedFlowGuide(model))
        found[name] = stepper(elbo, lambda e=elbo: e({"x": x}, size=60_000).objective)
    return found


def through_pyro(dim: int) -> dict[str, Step]:
    """Return steps of a flow of stock affine layers: bare, and bridged to Pyro's SVI."""
    x = torch.randn(BATCH, dim)

    def layers() -> list[nn.Module]:
        half = dim // 2
        found: list[nn.Module] = []
        for _ in range(LAYERS):
            net = normflows.nets.MLP([half, 128, 128, 2 * half], init_zeros=True)
            found += [
                normflows.flows.AffineCouplingBlock(net),
                normflows.flows.Permute(dim, mode="swap"),
            ]
        return found

    base = normflows.distributions.DiagGaussian(dim, trainable=False)
    bare = normflows.NormalizingFlow(base, layers())
    flow = FlowTransform(layers())
    svi = pyro.infer.SVI(
        lambda: observed(flow, x, dim),
        lambda: None,
        pyro.optim.Adam({"lr": 1e-4}),
        pyro.infer.Trace_ELBO(),
    )

    def step() -> None:
        with pyro.validation_enabled(False):
            svi.step()

    return {"normflows alone": stepper(bare, lambda: bare.forward_kld(x)), "bridge and SVI": step}


def observed(flow: FlowTransform, x: torch.Tensor, dim: int) -> None:
    pyro.module("flow", flow)
    with pyro.plate("data", len(x)):
        pyro.sample("x", flow.distribution(dim), obs=x)


def splines(dim: int) -> dict[str, Step]:
    x = torch.randn(BATCH, dim)
    kinds = {
        "ours": lambda: SplineCoupling(dim, (128, 128), bins=BINS),
        "spline of normflows, same network": lambda: StockSpline(dim),
    }
    if importlib.util.find_spec("zuko"):
        kinds["spline of zuko, same network"] = lambda: ZukoSpline(dim)
    found = {}
    for name, kind in kinds.items():
        flow = FlowTransform([layer for _ in range(LAYERS) for layer in (kind(), Permutation(dim))])
        density = flow.distribution(dim)
        found[name] = stepper(flow, lambda d=density: -d.log_prob(x).mean())
    whole = [
        normflows.flows.CoupledRationalQuadraticSpline(dim, 2, 128, num_bins=BINS)
        for _ in range(LAYERS)
    ]
    coupled = FlowTransform(whole)
    density = coupled.distribution(dim)
    found["coupled spline of normflows as it comes"] = stepper(
        coupled, lambda: -density.log_prob(x).mean()
    )
    return found


class StockSpline(nn.Module):
    """The spline of another library behind the same network as ours."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.half = dim // 2
        self.net = mlp([self.half, 128, 128, (dim - self.half) * (3 * BINS - 1)], nn.ReLU)

    def inverse(self, data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return latents and log-determinant."""
        kept, moved = data.split([self.half, data.shape[-1] - self.half], -1)
        free = self.net(kept).unflatten(-1, (-1, 3 * BINS - 1))
        value, log_slope = self.spline(moved, *free.split([BINS, BINS, BINS - 1], -1))
        return torch.cat([kept, value], -1), log_slope.sum(-1)

    def spline(self, moved: torch.Tensor, *free: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values and logarithms of slopes by normflows."""
        apply = normflows.utils.splines.unconstrained_rational_quadratic_spline
        return apply(moved, *free, tails="linear", tail_bound=5.0)


class ZukoSpline(StockSpline):
    """The same with the spline of zuko."""

    def spline(self, moved: torch.Tensor, *free: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values and logarithms of slopes by zuko."""
        import zuko

        return zuko.transforms.MonotonicRQSTransform(*free, bound=5.0).call_and_ladj(moved)


if __name__ == "__main__":
    main()

"""One flow of every kind, with parameters away from where they start."""

import warnings

import normflows
import torch
from torch import nn

from mutoscope.zoo.flows import (
    ActNorm,
    AffineCoupling,
    FlowTransform,
    Permutation,
    PrincipalSubspace,
    Pyramid,
    Rotation,
    SplineCoupling,
)

DIM = 4
IMAGES = ("MultiscaleFlow", "pyramid")  # of 4 x 4 pixels


def stirred(flow: nn.Module, size: float = 0.3) -> nn.Module:
    """Return the flow with noise added to every parameter."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in flow.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(size * noise.to(parameter))
    return flow


def _multiscale() -> FlowTransform:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.lu")  # in normflows 1.7.3
        blocks = [normflows.flows.GlowBlock(channels, 8) for channels in (8, 4)]
    flows = [[block, normflows.flows.Squeeze()] for block in blocks]
    bases = [normflows.distributions.DiagGaussian(s) for s in ((8, 1, 1), (2, 2, 2))]
    glow = normflows.MultiscaleFlow(bases, flows, [normflows.flows.Merge()], class_cond=False)
    flow = FlowTransform(glow, event_shape=(1, 4, 4))
    flow.initialise(torch.randn(32, 16, generator=torch.Generator().manual_seed(0)))
    return flow


def _stock() -> list[nn.Module]:
    net = normflows.nets.MLP([2, 8, 4], init_zeros=False)
    return [
        normflows.flows.AffineCouplingBlock(net),
        normflows.flows.Permute(DIM, mode="swap"),
        normflows.flows.CoupledRationalQuadraticSpline(DIM, 1, 8),
        normflows.flows.LULinearPermute(DIM),
    ]


KINDS = {
    "affine": lambda: FlowTransform([AffineCoupling(DIM, [8])]),
    "spline": lambda: FlowTransform([SplineCoupling(DIM, [8], bins=4, bound=3.0)]),
    "rotation": lambda: FlowTransform([Rotation(DIM)]),
    "permutation": lambda: FlowTransform([Permutation(DIM)]),
    "act norm": lambda: FlowTransform([ActNorm(DIM)]),
    "normflows": lambda: FlowTransform(_stock()),
    "NormalizingFlow": lambda: FlowTransform(
        normflows.NormalizingFlow(normflows.distributions.DiagGaussian(DIM), _stock())
    ),
    "MultiscaleFlow": _multiscale,
    "pyramid": lambda: FlowTransform(
        [Pyramid((1, 4, 4), 1, [Rotation(4), AffineCoupling(4, [8])], steps=1, filters=8)]
    ),
    "principal": lambda: FlowTransform(
        [PrincipalSubspace(DIM, 2, [Rotation(2), AffineCoupling(2, [8])])]
    ),
    "all of ours": lambda: FlowTransform(
        [Rotation(DIM), AffineCoupling(DIM, [8]), Permutation(DIM), SplineCoupling(DIM, [8])]
    ),
}


def made(kind: str, dtype: torch.dtype = torch.float64) -> tuple[FlowTransform, int]:
    """Return a flow of a kind, and the number of its features."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        flow = stirred(KINDS[kind]()).to(dtype)
    return flow, 16 if kind in IMAGES else DIM

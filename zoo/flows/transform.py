"""Flows as Pyro transforms: the only place that knows normflows."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from pyro.distributions import Normal, TransformedDistribution
from pyro.distributions.torch_transform import TransformModule
from torch import Tensor, nn
from torch.distributions import constraints

from ..errors import ConfigError

__all__ = ["FlowTransform"]


class _Passed(NamedTuple):
    """A pass through the flow, and under which conditions it would be the same again."""

    latent: Tensor
    data: Tensor
    log_det: Tensor
    graph: bool
    versions: list[tuple[Tensor, int]]


class FlowTransform(TransformModule):
    """A flow from latents to data, as a transform of Pyro and PyTorch that is also a module.

    Unlike bare layers it takes any leading batch axes, adds up log-determinants in the precision
    of the data, on their device, and computes a value together with its log-determinant: whoever
    asks for one gets the other for free, for the very same tensor and as long as no parameter
    changed and its graph was not used up by a backward pass.

    Use it in a density, `flow.distribution(dim)`; as the transform of an `AutoNormalizingFlow`
    guide; or its inverse, `flow.inv`, for a guide that draws data and returns their latents.

    Example:
        >>> from mutoscope.zoo.flows import AffineCoupling, FlowTransform, Rotation
        >>> flow = FlowTransform([Rotation(4), AffineCoupling(4)])
        >>> flow.distribution(4).sample((3,)).shape
        torch.Size([3, 4])

    Args:
        flow: Layers from the latents to the data; or a `NormalizingFlow` or `MultiscaleFlow` of
            normflows, whose own base distribution is left aside.
        event_shape: Shape that the layers want a datum in, such as (3, 32, 32). Latents and data
            are vectors outside. A `MultiscaleFlow` needs it.
        latent_shape: Shape that they want a latent in, if it is another.
    """

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(
        self,
        flow: nn.Module | Sequence[nn.Module],
        *,
        event_shape: Sequence[int] | None = None,
        latent_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        layers = _layers_of(flow)
        if any(isinstance(layer, _Multiscale) for layer in layers):
            latent_shape = (-1,)
            if event_shape is None:
                raise ConfigError("A MultiscaleFlow reads images: give their event_shape.")
        self.layers = nn.ModuleList(layers)
        self.event_shape = None if event_shape is None else tuple(event_shape)
        self.latent_shape = self.event_shape if latent_shape is None else tuple(latent_shape)
        self._passed: _Passed | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied: not the last pass, whose tensors may be part of a graph."""
        return {**super().__getstate__(), "_passed": None}

    def distribution(self, dim: int) -> TransformedDistribution:
        """Return the density of data: a standard normal of `dim` latents, carried by the flow."""
        like = next((p for p in self.parameters()), torch.zeros(()))
        zero, one = like.new_zeros(()), like.new_ones(())
        return TransformedDistribution(Normal(zero, one).expand([dim]).to_event(1), [self])

    def decode(
        self, latent: Float[Tensor, "*batch latent"]
    ) -> tuple[Float[Tensor, "*batch feature"], Float[Tensor, "*batch"]]:
        """Return data and the log-determinant of this direction, computed anew."""
        return _through([layer.forward for layer in self.layers], latent, self.latent_shape)

    def encode(
        self, data: Float[Tensor, "*batch feature"]
    ) -> tuple[Float[Tensor, "*batch latent"], Float[Tensor, "*batch"]]:
        """Return latents and the log-determinant of this direction, computed anew."""
        inverses = [cast(Any, layer).inverse for layer in reversed(self.layers)]
        return _through(inverses, data, self.event_shape)

    @torch.no_grad()
    def initialise(self, data: Float[Tensor, "datum feature"]) -> None:
        """Let the layers that start from data, such as `ActNorm`, look at these.

        Those of normflows start from whatever they see first, so call this before anything else.
        """
        value = _shaped(data, self.event_shape)
        for layer in reversed(self.layers):
            begin: Any = getattr(layer, "initialise", None)
            if begin is not None:
                begin(value)
            value, _ = cast(Any, layer).inverse(value)

    def log_abs_det_jacobian(
        self, x: Float[Tensor, "*batch latent"], y: Float[Tensor, "*batch feature"]
    ) -> Float[Tensor, "*batch"]:
        """Return the log-determinant from latents `x` to data `y`."""
        passed = self._known()
        if passed is not None and (passed.latent is x or passed.data is y):
            return passed.log_det
        return self._keep(x, *self.decode(x)).log_det

    def _call(self, x: Tensor) -> Tensor:
        passed = self._known()
        if passed is not None and passed.latent is x:
            return passed.data
        return self._keep(x, *self.decode(x)).data

    def _inverse(self, y: Tensor) -> Tensor:
        passed = self._known()
        if passed is not None and passed.data is y:
            return passed.latent
        latent, log_det = self.encode(y)
        return self._keep(latent, y, -log_det).latent

    def _known(self) -> _Passed | None:
        """Return the last pass if it would be the same again."""
        passed = self._passed
        if passed is None or passed.graph != torch.is_grad_enabled():
            return None
        now = self._versions(passed.latent, passed.data)
        same = len(now) == len(passed.versions) and all(
            tensor is before and version == earlier
            for (tensor, version), (before, earlier) in zip(now, passed.versions, strict=True)
        )
        return passed if same else None

    def _keep(self, latent: Tensor, data: Tensor, log_det: Tensor) -> _Passed:
        versions = self._versions(latent, data)
        passed = _Passed(latent, data, log_det, torch.is_grad_enabled(), versions)
        self._passed = passed
        for tensor in (latent, data, log_det):
            if tensor.requires_grad and not tensor.is_leaf:
                tensor.register_hook(self._forget)
        return passed

    def _forget(self, _: Tensor) -> None:
        """Drop the pass: a backward pass frees its graph, unless it makes one of its own."""
        if not torch.is_grad_enabled():
            self._passed = None

    def _versions(self, *tensors: Tensor) -> list[tuple[Tensor, int]]:
        every = (*tensors, *self.parameters(), *self.buffers())
        return [(each, 0 if each.is_inference() else each._version) for each in every]


class _Multiscale(nn.Module):
    """A `MultiscaleFlow`, with its latents as one vector.

    Args:
        flow: The flow.
    """

    def __init__(self, flow: Any) -> None:  # noqa: ANN401 - normflows carries no types
        super().__init__()
        self.flow = flow
        self.shapes = [tuple(base.shape) for base in flow.q0]

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        parts = latent.split([math.prod(shape) for shape in self.shapes], -1)
        return cast(
            tuple[Tensor, Tensor],
            self.flow.forward_and_log_det(
                [part.unflatten(-1, s) for part, s in zip(parts, self.shapes, strict=True)]
            ),
        )

    def inverse(self, data: Tensor) -> tuple[Tensor, Tensor]:
        parts, log_det = self.flow.inverse_and_log_det(data)
        return torch.cat([part.flatten(1) for part in parts], -1), log_det


def _layers_of(flow: nn.Module | Sequence[nn.Module]) -> list[nn.Module]:
    if not isinstance(flow, nn.Module):
        return list(flow)
    import normflows

    if isinstance(flow, normflows.MultiscaleFlow):
        return [_Multiscale(flow)]
    if isinstance(flow, normflows.NormalizingFlow):
        return list(flow.flows)
    return [*flow] if isinstance(flow, nn.ModuleList) else [flow]


def _through(
    steps: Sequence[Any], value: Tensor, shape: tuple[int, ...] | None
) -> tuple[Tensor, Tensor]:
    leading = value.shape[:-1]
    moved = _shaped(value.reshape(-1, value.shape[-1]), shape)
    total = moved.new_zeros(len(moved))
    for step in steps:
        moved, log_det = step(moved)
        # Some layers give plain numbers, one number for all data, or one that lies on the CPU.
        total = total + torch.as_tensor(log_det, dtype=total.dtype, device=total.device)
    return moved.reshape(*leading, -1), total.reshape(leading)


def _shaped(value: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    return value if shape is None else value.unflatten(-1, shape)

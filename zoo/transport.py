"""Transport of points and log-densities along flow fields: the only importer of torchdiffeq."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from .checks import checks_deferred
from .errors import ConfigError, TransportDiverged
from .fields import AbstractFlow
from .solvers import State, solve_in_steps

__all__ = ["Method", "Transported", "transport", "transport_error"]

Method = Literal["euler", "midpoint", "rk4", "dopri5"]


@dataclass(frozen=True, eq=False)
class Transported:
    """Where points went, frame by frame.

    Attributes:
        latent: Positions at frames 0 to T; the first is the starting point.
        log_density: Change of log-density along the way, minus the integrated divergence, from 0 at
            the starting point; None if it was not asked for.
        evaluations: Number of evaluations of the flow.
    """

    latent: Float[Tensor, "*batch frame latent"]
    log_density: Float[Tensor, "*batch frame"] | None
    evaluations: int


class _OneFrame(nn.Module):
    """The right-hand side of the transport equation during one frame, at constant speeds."""

    def __init__(self, flow: AbstractFlow, speed: Tensor) -> None:
        super().__init__()
        self.flow, self.speed = flow, speed
        self.evaluations = 0

    def forward(self, time: Tensor, state: State) -> State:
        self.evaluations += 1
        velocity = self.flow.velocity(state[0], time, self.speed)
        if len(state) == 1:
            return (velocity,)
        return velocity, -self.flow.divergence(state[0], time, self.speed)

    def inputs(self) -> list[Tensor]:
        """Return what an adjoint solver has to differentiate with respect to."""
        return [x for x in (*self.flow.tensors, self.speed) if x.requires_grad]


def transport(
    flow: AbstractFlow,
    latent: Float[Tensor, "*#batch latent"],
    speed: Float[Tensor, "*#batch frame field"],
    *,
    method: Method = "rk4",
    steps_per_frame: int = 1,
    density: bool = False,
    reverse: bool = False,
    start: float = 0.0,
    tolerance: float = 1e-5,
    adjoint: bool = False,
    limit: float = 1e6,
) -> Transported:
    """Carry points along `dz/dt = sum_k speed_k(t) v_k(z, t)`, with speeds constant in a frame.

    `method="euler"` with one step is the update of Song et al. 2024 (arXiv:2410.05564); the
    default is one Runge-Kutta step of order four for each frame. Fixed steps wait for the device
    once, at the end, to see that all is sane; under `deferred_checks` not even then: sequences that
    are not come back as NaN.

    Args:
        flow: The fields, `field.flow()`.
        latent: Starting points at frame 0 (at frame T with `reverse`).
        speed: Speed of each field during each of T transitions. Batch axes broadcast with `latent`.
        method: Solver. "dopri5" adapts its steps; the others take `steps_per_frame` equal ones.
        steps_per_frame: Number of steps for each frame of the fixed-step solvers.
        density: Whether to integrate the change of log-density too.
        reverse: Go from frame T back to frame 0. Results are in order of travel.
        start: Time of frame 0 on the clock of time-dependent fields.
        tolerance: Absolute and relative tolerance of "dopri5".
        adjoint: Solve backwards for gradients: memory does not grow with steps, but it is slower.
        limit: Largest magnitude of a latent coordinate that still counts as sane.

    Returns:
        The points, and what was asked for with them.

    Raises:
        ConfigError: `latent` or `speed` does not fit the flow or the other, or the solver is
            unknown.
        TransportDiverged: A speed or coordinate is not finite, a coordinate exceeds `limit`, or the
            adaptive solver cannot go on.
    """
    latent, speed = _broadcast(flow, latent, speed)
    solve = _solver(method, steps_per_frame, tolerance, adjoint=adjoint)
    if not latent.numel():  # the adaptive solver finds no step for no points
        solve = _solver("euler", 1, tolerance, adjoint=False)
    states: list[State] = [(latent, torch.zeros_like(latent[..., 0])) if density else (latent,)]
    frames = list(enumerate(speed.unbind(-2)))
    evaluations = 0
    for frame, speed_then in reversed(frames) if reverse else frames:
        side = _OneFrame(flow, speed_then)
        begin, end = (frame + 1, frame) if reverse else (frame, frame + 1)
        try:
            states.append(solve(side, states[-1], start + begin, start + end))
        except AssertionError as error:  # torchdiffeq's way of saying that its step vanished
            _check_sane(torch.stack([state[0] for state in states], -2), speed, limit)
            _check_speed(speed)
            raise TransportDiverged(
                f"The adaptive solver stopped in frame {frame}: {error}. Lower the speeds or the "
                "scale of the fields, loosen `tolerance`, or use method='rk4'."
            ) from error
        evaluations += side.evaluations
    points, *changes = zip(*states, strict=True)
    path = torch.stack(points, -2)
    if checks_deferred():
        path = _poisoned(path, limit)
    else:
        _check_sane(path, speed, limit)
    return Transported(path, torch.stack(changes[0], -1) if density else None, evaluations)


def transport_error(
    flow: AbstractFlow,
    latent: Float[Tensor, "*#batch latent"],
    speed: Float[Tensor, "*#batch frame field"],
    *,
    method: Method = "rk4",
    steps_per_frame: int = 1,
    start: float = 0.0,
) -> float:
    """Return the largest distance of any coordinate from a solution on a four times finer grid.

    For "dopri5" the comparison is with tolerances a hundred times tighter. Gradients are not kept.
    """
    solve = partial(transport, flow, latent, speed, method=method, start=start)
    with torch.no_grad():
        coarse = solve(steps_per_frame=steps_per_frame)
        fine = solve(steps_per_frame=4 * steps_per_frame, tolerance=1e-7)
        return float((coarse.latent - fine.latent).abs().max())


def _broadcast(flow: AbstractFlow, latent: Tensor, speed: Tensor) -> tuple[Tensor, Tensor]:
    if speed.ndim < 2 or speed.shape[-2] == 0 or speed.shape[-1] != flow.num_fields:
        raise ConfigError(
            f"speed has shape {tuple(speed.shape)}, but (..., frames, {flow.num_fields}) with at "
            "least one frame is needed: one speed for each transition and field."
        )
    wanted = "any number" if flow.latent_dim is None else flow.latent_dim
    if latent.ndim < 1 or flow.latent_dim not in (None, latent.shape[-1]):
        raise ConfigError(
            f"latent has shape {tuple(latent.shape)}, but its last axis must hold {wanted} "
            "coordinates, those of the flow's latent space. Give points of that space."
        )
    try:
        batch: torch.Size = torch.broadcast_shapes(latent.shape[:-1], speed.shape[:-2])
    except RuntimeError as error:
        raise ConfigError(
            f"latent has shape {tuple(latent.shape)} and speed {tuple(speed.shape)}, but their "
            "batch axes, all but the last and all but the last two, must broadcast. Give as many "
            "starting points as sequences of speeds, or one."
        ) from error
    return latent.expand(*batch, -1), speed.expand(*batch, -1, -1)


def _solver(
    method: Method, steps: int, tolerance: float, *, adjoint: bool
) -> Callable[[_OneFrame, State, float, float], State]:
    """Return what solves one frame, given the state at its beginning and the two times."""
    if method not in get_args(Method):
        raise ConfigError(f"method={method!r}, but one of {', '.join(get_args(Method))} is needed.")
    if method == "dopri5":
        options = {"method": method, "rtol": tolerance, "atol": tolerance}
        return partial(_solve_by_torchdiffeq, adjoint=adjoint, options=options)
    if steps < 1:
        raise ConfigError(f"steps_per_frame={steps}, but at least one step is needed.")
    if adjoint:
        options = {"method": method, "options": {"step_size": 1 / steps}}
        return partial(_solve_by_torchdiffeq, adjoint=True, options=options)
    return partial(solve_in_steps, method=method, steps=steps)


def _solve_by_torchdiffeq(
    side: _OneFrame,
    state: State,
    begin: float,
    end: float,
    *,
    adjoint: bool,
    options: dict[str, object],
) -> State:
    span = state[0].new_tensor([begin, end])
    if adjoint:
        solution = odeint_adjoint(side, state, span, adjoint_params=side.inputs(), **options)
    else:
        solution = odeint(side, state, span, **options)
    return tuple(x[-1] for x in solution)


def _check_speed(speed: Float[Tensor, "*batch frame field"]) -> None:
    broken = (~speed.detach().isfinite()).any(-1)
    if bool(broken.any()):
        raise TransportDiverged(
            f"Speeds are not finite, first that of transition {int(broken.nonzero()[:, -1].min())} "
            "(counted from 0), so the fault lies before transport: look at what drew or encoded "
            "them (data that are not finite, a learning rate too high)."
        )


def _poisoned(
    path: Float[Tensor, "*batch frame latent"], limit: float
) -> Float[Tensor, "*batch frame latent"]:
    """Return the path with NaN for all of a sequence that is not sane."""
    sane = (path.detach().abs() <= limit).all(-1, keepdim=True).all(-2, keepdim=True)
    return torch.where(sane, path, torch.nan)


def _check_sane(
    path: Float[Tensor, "*batch frame latent"],
    speed: Float[Tensor, "*batch transition field"],
    limit: float,
) -> None:
    if not path.numel():
        return
    magnitude = path.detach().abs().movedim(-2, 0).flatten(1).amax(1)
    if bool((magnitude <= limit).all()):
        return
    step = int((~(magnitude <= limit)).nonzero()[0])
    if step == 0 and not bool(magnitude[0].isfinite()):
        raise TransportDiverged(
            f"The starting point itself is not finite (it holds {float(magnitude[0])}), so the "
            "fault lies before transport: look at what drew or encoded it (data that are not "
            "finite, a learning rate too high)."
        )
    _check_speed(speed)
    raise TransportDiverged(
        f"Points diverged in frame {step}: the largest coordinate is {float(magnitude[step]):.3g}, "
        f"the limit is {limit:.3g}. Lower the learning rate, the speeds or the scale of the "
        "fields, or take more steps (steps_per_frame)."
    )

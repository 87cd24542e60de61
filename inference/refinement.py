"""Semi-amortized inference: a few more steps for the posteriors of given data.

Kim, Wiseman, Miller, Sontag, Rush, "Semi-amortized variational autoencoders", 2018,
arXiv:1802.02550. They go on with the parameters that the encoder gives to each posterior; here the
guide's draws are moved, so that any guide can be refined, and latents can come to depend on each
other.

The first half of the steps climbs the ELBO, whose optimum is narrower than the posterior. The
second one climbs the importance-weighted bound, which wants every part of the posterior covered:
Burda, Grosse, Salakhutdinov, 2016, arXiv:1509.00519. Its gradients along the path of draws are
those of Tucker, Lawson, Gu, Maddison, 2019, arXiv:1810.04152; log-odds follow the weights of draws,
as in Bornschein, Bengio, "Reweighted wake-sleep", 2015, arXiv:1406.2751.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..zoo.checks import deferred_checks
from ..zoo.distributions import MarkovSpikeAndSlab
from ..zoo.errors import ConfigError
from .chained_spikes import chain_of, has_frames
from .coordinates import as_rows
from .drawing import Observations
from .local_latents import frozen, local_latents, points
from .metrics.particles import check_batch, evaluation, particle_chunks, unwrapped
from .refined_guide import RefinedGuide
from .sampler import Densities, Sampler

__all__ = ["coordinates_of", "refine"]

_MANY = 64  # coordinates
_DRAWS = 100  # that tell the mean and deviation of coordinates, and what was gained


def refine(
    model: nn.Module,
    guide: nn.Module,
    data: Observations | Mapping[str, Tensor],
    *,
    steps: int = 400,
    learning_rate: float = 0.05,
    particles: int = 16,
    coupled: bool = True,
    batch_size: int = 64,
    seed: int = 0,
) -> RefinedGuide:
    """Bring each datum's posterior closer to the truth; model and guide stay as they are.

    The posterior of each datum is moved by an affine map of all its continuous latents, and its
    log-odds by numbers of their own, see `RefinedGuide`. Where the guide takes latents as
    independent, this adds what they have in common, given the datum; so do spikes that stick to
    those before them in the model, see `chain_of`. In the end draws reach somewhat beyond the
    posterior, so that importance weights can make draws of it out of them (`resample`). A datum
    whose ELBO has not risen keeps the posterior of the guide. Latents that all data share are not
    moved.

    Args:
        model: A Pyro model.
        guide: Its guide.
        data: A split, or observed tensors by name; first axis the data.
        steps: Number of steps of Adam for each datum.
        learning_rate: Where the learning rate starts, in standard deviations of the guide; it
            falls to zero. What couples more than 64 coordinates is slower.
        particles: Number of draws in each step: the more, the further draws reach in the end.
        coupled: Whether latents may come to depend on each other. It takes, for each datum, the
            square of their number.
        batch_size: Number of data that are refined at once.
        seed: Of the draws.

    Raises:
        ConfigError: A number is too small, or the guide has nothing that can be moved.
        DataError: There are no data, or some are not finite.
    """
    _check(steps=steps, batch_size=batch_size, particles=particles, learning_rate=learning_rate)
    with evaluation(model, guide, seed=seed), frozen(model, guide):
        rows = data if isinstance(data, Mapping) else data.batch(torch.arange(len(data)))
        whole = check_batch(rows, model)
        batches = [
            {name: tensor[start : start + batch_size] for name, tensor in whole.items()}
            for start in range(0, len(next(iter(whole.values()))), batch_size)
        ]
        refined = _unmoved(model, guide, whole, batches)
        elbo = _elbo(Sampler(model, guide, whole), batches)
        _chain_spikes(Sampler(model, guide, whole), refined, batches)
        sampler = Sampler(model, refined, whole)
        for batch in batches:
            with torch.enable_grad(), deferred_checks():
                _climb(sampler, refined, batch, steps, learning_rate, particles, coupled)
        with deferred_checks():
            refined.keep(_elbo(sampler, batches) - elbo)
    return refined


def coordinates_of(
    model: nn.Module, guide: nn.Module, data: Observations | Mapping[str, Tensor]
) -> int:
    """Return how many numbers of each datum `refine` would move; time grows with their square.

    Args:
        model: A Pyro model.
        guide: Its guide.
        data: A split, or observed tensors by name; the first data are enough.
    """
    with evaluation(model, guide, seed=0):
        rows = data if isinstance(data, Mapping) else data.batch(torch.arange(min(2, len(data))))
        batch = check_batch({name: tensor[:2] for name, tensor in rows.items()}, model)
        sampler = Sampler(model, guide, batch)
        latents = local_latents(sampler, sampler.draw(batch, 1).guide)
    return max((latent.where.stop for latent in latents.values()), default=0)


def _check(*, steps: int, batch_size: int, particles: int, learning_rate: float) -> None:
    least = {"steps": (steps, 1), "batch_size": (batch_size, 1), "particles": (particles, 2)}
    for name, (found, needed) in least.items():
        if found < needed:
            raise ConfigError(f"Found {name}={found}, but at least {needed} is needed.")
    if not 0 < learning_rate <= 1:
        raise ConfigError(
            f"Found learning_rate={learning_rate}, but one above 0 and up to 1 is needed: it is in "
            "standard deviations of the guide."
        )


def _unmoved(
    model: nn.Module,
    guide: nn.Module,
    whole: Mapping[str, Tensor],
    batches: Sequence[Mapping[str, Tensor]],
) -> RefinedGuide:
    """Return a refined guide that says what the guide says."""
    sampler, centres, widths = Sampler(model, guide, whole), [], []
    latents = local_latents(sampler, sampler.draw(batches[0], 1).guide)
    if not any(latent.coordinates or latent.logits.stop for latent in latents.values()):
        raise ConfigError(
            f"{type(guide).__name__} draws nothing for each datum that can be moved: it needs a "
            "latent that is continuous, or has log-odds."
        )
    for batch in batches:
        drawn = [sampler.draw(batch, n).guide for n in particle_chunks(batch, _DRAWS)]
        coordinates = torch.cat([points(latents, sites) for sites in drawn])
        centres.append(coordinates.mean(0))
        widths.append(coordinates.std(0))
    return RefinedGuide(guide, latents, whole, torch.cat(centres), torch.cat(widths))


def _chain_spikes(
    guided: Sampler, refined: RefinedGuide, batches: Sequence[Mapping[str, Tensor]]
) -> None:
    """Let spikes that stick to those before them in the model do so in the posterior, too."""
    first = 0
    for batch in batches:
        drawn, rows = guided.draw(batch, 1), len(next(iter(batch.values())))
        for name, latent in refined.latents.items():
            prior, law = unwrapped(drawn.latent[name]["fn"]), drawn.guide[name]["fn"]
            if not isinstance(prior, MarkovSpikeAndSlab) or prior.reject_zero:
                continue
            if has_frames(law):
                logits = law.base_dist.logits
                chained, following = chain_of(logits, prior)
                for moved, change in (
                    (refined.logits, chained - logits),
                    (refined.following, following),
                ):
                    numbers = as_rows(change, change.ndim - latent.axes, latent.row).mean(0)
                    moved[first : first + rows, latent.logits] = numbers
        first += rows


def _elbo(sampler: Sampler, batches: Sequence[Mapping[str, Tensor]]) -> Float[Tensor, " datum"]:
    found = []
    for batch in batches:
        parts = [
            sampler.densities(sampler.draw(batch, particles))
            for particles in particle_chunks(batch, _DRAWS)
        ]
        found.append(torch.cat([part.log_p - part.log_q for part in parts]).mean(0))
    return torch.cat(found)


def _climb(
    sampler: Sampler,
    refined: RefinedGuide,
    batch: Mapping[str, Tensor],
    steps: int,
    learning_rate: float,
    particles: int,
    coupled: bool,
) -> None:
    """Take steps up the ELBO, and then up the importance-weighted bound."""
    # Steps of many couplings are mostly noise, which adds up, and inverses of couplings magnify it
    # exponentially: three hundred numbers at the full rate have bounds of 1e20 nats.
    slower = learning_rate * min(1.0, _MANY / max(1, refined.coupling.shape[-1])) ** 1.5
    path = [refined.shift, refined.log_scale] + [refined.coupling] * coupled
    path = path * bool(refined.shift.numel())
    scored = [refined.logits, refined.following] * bool(refined.logits.numel())
    rates = [slower if each is refined.coupling else learning_rate for each in path + scored]
    groups = [{"params": [p], "lr": rate} for p, rate in zip(path + scored, rates, strict=True)]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        found = sampler.densities(sampler.draw(batch, particles))
        gains = _gains(found, covering=2 * step >= steps)
        for parameters, gain in zip((path, scored), gains, strict=True):
            if parameters:
                gradients = torch.autograd.grad(
                    -gain.sum(), parameters, retain_graph=True, materialize_grads=True
                )
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
        schedule.step()


def _gains(
    found: Densities, *, covering: bool
) -> tuple[Float[Tensor, " datum"], Float[Tensor, " datum"]]:
    """Return whose gradients are those of a bound: by the path of draws, and by their score.

    The score of a draw is weighed by how much better it is than the others.
    """
    weight = found.log_p - found.log_q
    if covering:
        share = weight.detach().softmax(0)
        return (share**2 * weight).sum(0), ((share - share.mean(0)) * found.log_q).sum(0)
    advantage = (weight - weight.mean(0)).detach() / (len(weight) - 1)
    return weight.mean(0), (advantage * found.log_q).sum(0)

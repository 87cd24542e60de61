"""Time of a training step of additive decoders, against a loop over their blocks.

    python benchmarks/additive_step.py [--rounds 15] [--blocks 8]

In the loop each block has a network of its own, and one runs after the other. What is compared is

- the decoder with its gradient;
- the step of `fit`: the same model, guide, objective and optimizer;
- the step of plain Pyro, `SVI` with `pyro.optim.Adam`: the same model and guide, then also the loop
  written out as one does by hand, where each block has a latent site of its own too.

Programs run in turns on one thread; ratios are of medians of processor time, to the first of each
group. Arithmetic is the same in all, so that what is saved is the cost of many small calls: much
where networks or batches are small, less where products of matrices fill the time.
"""

import argparse
import platform

import pyro
import torch
from pyro.distributions import Normal
from pyro.infer import SVI, TraceMeanField_ELBO
from step_time import Step, measure
from torch import Tensor, nn

from mutoscope.guides import AdditiveDecoderGuide
from mutoscope.inference.objective import Objective
from mutoscope.zoo import AdditiveDecoder
from mutoscope.zoo.checks import deferred_checks
from mutoscope.zoo.nets.blocks import BlockDecoder

SHAPE = (3, 12, 12)
SIZES = ((32, 2, 32), (64, 3, 64), (64, 3, 128), (128, 5, 128))  # width, layers, batch


class LoopedDecoder(nn.Module):
    """The same perceptrons, one after the other."""

    def __init__(self, decoder: BlockDecoder) -> None:
        super().__init__()
        layers = [*decoder.hidden, decoder.pixels]
        self.image_shape = decoder.image_shape
        self.networks = nn.ModuleList(
            network_of([layer.weight[block] for layer in layers], layers, block)
            for block in range(len(decoder.pixels.weight))
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Return one image for each block."""
        parts = [
            network(latent[..., block, :]).unflatten(-1, self.image_shape)
            for block, network in enumerate(self.networks)
        ]
        return torch.stack(parts, -4)


class LoopedModel(nn.Module):
    """The model written out: each block has a latent site and a network of its own."""

    def __init__(self, model: AdditiveDecoder) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, images: Tensor) -> None:
        """Run the generative story."""
        mean, shape = self.model.background, self.config.image_shape
        with pyro.plate("sequence", len(images), dim=-1):
            for block, network in enumerate(self.model.decoder.networks):
                latent = pyro.sample(f"z_{block}", Normal(0.0, 1.0).expand([1, 1]).to_event(2))
                mean = mean + network(latent).unflatten(-1, shape)
            pyro.sample("images", Normal(mean, self.config.image_scale).to_event(4), obs=images)


class LoopedGuide(nn.Module):
    """The guide of `LoopedModel`: the same encoder, and a site for each block."""

    def __init__(self, guide: AdditiveDecoderGuide) -> None:
        super().__init__()
        self.guide = guide

    def forward(self, images: Tensor) -> None:
        """Draw the latent of every block."""
        law = self.guide.latent_posterior(images).base_dist
        with pyro.plate("sequence", len(images), dim=-1):
            for block in range(law.loc.shape[-2]):
                each = law.loc[..., block, :], law.scale[..., block, :]
                pyro.sample(f"z_{block}", Normal(*each).to_event(2))


def network_of(weights: list[Tensor], layers: list[nn.Module], block: int) -> nn.Sequential:
    """Return the perceptron of one block, with the same weights."""
    made: list[nn.Module] = []
    for weight, layer in zip(weights, layers, strict=True):
        linear = nn.Linear(*weight.shape, bias=layer.bias is not None)
        with torch.no_grad():
            linear.weight.copy_(weight.T)
            if layer.bias is not None:
                linear.bias.copy_(layer.bias[block, 0])
        made += [linear, nn.SiLU()]
    return nn.Sequential(*made[:-1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=15, help="runs of each program")
    options.add_argument("--blocks", type=int, default=8)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, pyro {pyro.__version__}, Python {platform.python_version()}; "
        f"{given.blocks} blocks, {SHAPE[1]} x {SHAPE[2]} pixels in colour, one thread"
    )
    print(f"{'':42}{'CPU ms':>10}{'wall ms':>10}{'ratio':>10}")
    for width, layers, batch in SIZES:
        print(f"{layers} layers of {width}, batch {batch}")
        for part, programs in both(given.blocks, width, layers, batch).items():
            times = measure(programs, given.rounds)
            ours = next(iter(times.values()))[0]
            for name, (cpu, wall) in times.items():
                label = f"  {part}, {name}"
                ratio = cpu / ours
                print(f"{label:42}{1e3 * cpu:10.2f}{1e3 * wall:10.2f}{ratio:10.2f}", flush=True)


def both(blocks: int, width: int, layers: int, batch: int) -> dict[str, dict[str, Step]]:
    """Return steps of ours and of loops, checked to make the same images."""
    config = AdditiveDecoder.Config(
        image_shape=SHAPE, num_blocks=blocks, decoder_hidden_dim=width, decoder_layers=layers
    )
    ours, looped = AdditiveDecoder(config), AdditiveDecoder(config)
    looped.decoder = LoopedDecoder(ours.decoder)
    latent = torch.randn(4, blocks, 1)
    torch.testing.assert_close(ours.parts(latent), looped.parts(latent))
    images = torch.rand(batch, 1, *SHAPE)
    sizes = AdditiveDecoderGuide.Config(hidden_dim=width, num_layers=layers)
    models = {"all at once": ours, "loop": looped}
    latent = torch.randn(batch, blocks, 1)
    pairs = {name: (model, AdditiveDecoderGuide(model, sizes)) for name, model in models.items()}
    by_hand = LoopedModel(looped), LoopedGuide(pairs["loop"][1])
    return {
        "decoder": {name: decoder_of(model, latent) for name, model in models.items()},
        "fit": {name: step_of(*pair, images) for name, pair in pairs.items()},
        "Pyro": {
            name: plain_step_of(*pair, images)
            for name, pair in {**pairs, "loop, a site for each block": by_hand}.items()
        },
    }


def decoder_of(model: AdditiveDecoder, latent: Tensor) -> Step:
    parameters = [*model.decoder.parameters()]

    def step() -> None:
        torch.autograd.grad(model.mean_image(latent).square().mean(), parameters)

    return step


def step_of(model: nn.Module, guide: nn.Module, images: Tensor) -> Step:
    objective = Objective(model, guide, size=60_000)
    adam = torch.optim.Adam(objective.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        with deferred_checks(), pyro.validation_enabled(False):
            objective({"images": images})[0].backward()
        adam.step()
        adam.zero_grad()

    return step


def plain_step_of(model: nn.Module, guide: nn.Module, images: Tensor) -> Step:
    def named_model(images: Tensor) -> None:
        pyro.module(f"model {id(model)}", model)(images)

    def named_guide(images: Tensor) -> None:
        pyro.module(f"guide {id(guide)}", guide)(images)

    svi = SVI(named_model, named_guide, pyro.optim.Adam({"lr": 1e-3}), TraceMeanField_ELBO())
    return lambda: svi.step(images)


if __name__ == "__main__":
    main()

"""What `step_time.py` compares with: gradients by automatic differentiation, and plain Pyro."""

import pyro
import torch
from pyro.distributions import Bernoulli, Laplace, Normal, RelaxedBernoulliStraightThrough
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn.functional import softplus
from torchdiffeq import odeint

from mutoscope.guides.encoders import NormalHead, TransitionEncoder
from mutoscope.zoo.fields import AbstractFlow, PotentialField, RotationalField
from mutoscope.zoo.nets import ImageDecoder, ImageEncoder


def log_cosh(argument: Tensor) -> Tensor:
    """Return `log cosh`, up to a constant, without overflow."""
    return argument + softplus(-2 * argument)


class AutogradFlow(AbstractFlow):
    """The fields of a potential and a rotational family, each a gradient taken by autograd."""

    def __init__(self, potential: PotentialField, rotational: RotationalField) -> None:
        self.potential, self.rotational = potential, rotational
        self.num_fields = potential.num_fields

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The parameters of both families."""
        return *self.potential.parameters(), *self.rotational.parameters()

    def scalars(self, latent: Tensor, time: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the k-th potential and Hamiltonian, summed over the batch."""
        u, h = self.potential, self.rotational
        argument = latent @ u.inward[k].T + u.bias[k] + u.drift[k] * time
        potential = (u.weight[k] * log_cosh(argument)).sum()
        argument = latent @ h.inward[k].T + h.bias[k]
        bowl = (h.log_stiffness[k].exp() * latent.square()).sum() / 2
        return potential, (h.weight[k] * log_cosh(argument)).sum() + bowl

    def each(self, latent: Tensor, time: Tensor) -> Tensor:
        """Return the velocity of every field, one after the other."""
        if not latent.requires_grad:
            latent = latent.detach().requires_grad_()
        velocities = []
        for k in range(self.num_fields):
            potential, hamiltonian = self.scalars(latent, time, k)
            (climb,) = torch.autograd.grad(potential, latent, create_graph=True)
            (slope,) = torch.autograd.grad(hamiltonian, latent, create_graph=True)
            turning = self.rotational.turning[k]
            velocities.append(climb + slope @ (turning - turning.T).T)
        return torch.stack(velocities, -2)

    def divergence_each(self, latent: Tensor, time: Tensor) -> Tensor:
        """Not compared."""
        raise NotImplementedError

    def velocity(self, latent: Tensor, time: Tensor, speed: Tensor) -> Tensor:
        """Return the sum over fields of speed times velocity."""
        return (speed.unsqueeze(-1) * self.each(latent, time)).sum(-2)


class AllAtOnceFlow(AutogradFlow):
    """The same by two calls of autograd for all fields together: the most it can do."""

    def each(self, latent: Tensor, time: Tensor) -> Tensor:
        """Return the velocity of every field."""
        u, h = self.potential, self.rotational
        shape = (*latent.shape[:-1], self.num_fields, latent.shape[-1])
        copies = latent.unsqueeze(-2).expand(shape)
        if not copies.requires_grad:
            copies = copies.detach().requires_grad_()
        argument = torch.einsum("...kd,khd->...kh", copies, u.inward) + u.bias + u.drift * time
        (climb,) = torch.autograd.grad(
            (u.weight * log_cosh(argument)).sum(), copies, create_graph=True
        )
        argument = torch.einsum("...kd,khd->...kh", copies, h.inward) + h.bias
        bowl = (h.log_stiffness.exp() * copies.square()).sum() / 2
        hamiltonian = (h.weight * log_cosh(argument)).sum() + bowl
        (slope,) = torch.autograd.grad(hamiltonian, copies, create_graph=True)
        return climb + torch.einsum("kde,...ke->...kd", h.turning - h.turning.mT, slope)


class PlainModel(PyroModule):
    """Sparse transformation analysis as one would first write it: a site for each frame."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_fields: int,
        latent_dim: int,
        method: str = "dopri5",
    ) -> None:
        super().__init__()
        self.num_fields, self.latent_dim, self.method = num_fields, latent_dim, method
        self.potential = PotentialField(num_fields, latent_dim)
        self.rotational = RotationalField(num_fields, latent_dim)
        self.decoder = ImageDecoder(latent_dim, image_shape, 256)

    def move(self, latent: Tensor, speed: Tensor) -> Tensor:
        """Carry points through one frame."""
        flow, span = AutogradFlow(self.potential, self.rotational), torch.tensor([0.0, 1.0])
        moved: Tensor = odeint(
            lambda time, z: flow.velocity(z, time, speed),
            latent,
            span,
            method=self.method,
            rtol=1e-5,
            atol=1e-5,
        )
        return moved[-1]

    def forward(self, images: Tensor, size: int) -> None:
        """Run the generative story."""
        zeros = images.new_zeros(len(images), self.latent_dim)
        off = images.new_zeros(len(images), self.num_fields)
        with pyro.plate("sequence", size, subsample_size=len(images)):
            latent = pyro.sample("z0", Normal(zeros, 1.0).to_event(1))
            self.observe(0, latent, images)
            probability = off + 0.1
            for t in range(1, images.shape[1]):
                spike = pyro.sample(f"y{t}", Bernoulli(probability).to_event(1))
                slab = pyro.sample(f"s{t}", Laplace(off + 1, 0.1).to_event(1))
                latent = self.move(latent, spike * slab)
                self.observe(t, latent, images)
                probability = 0.1 + 0.8 * spike

    def observe(self, t: int, latent: Tensor, images: Tensor) -> None:
        """Compare a frame with what the latent decodes to."""
        pixels = Bernoulli(logits=self.decoder(latent)).to_event(3)
        pyro.sample(f"x{t}", pixels, obs=images[:, t])


class PlainGuide(PyroModule):
    """Its guide, with the encoders of ours."""

    def __init__(self, image_shape: tuple[int, int, int], num_fields: int, latent_dim: int) -> None:
        super().__init__()
        self.frames = ImageEncoder(image_shape, 128, 128)
        self.start = NormalHead(128, latent_dim)
        self.transitions = TransitionEncoder(128, 128)
        self.spike = nn.Linear(3 * 128, num_fields)
        self.slab_shift = nn.Linear(3 * 128, num_fields)
        self.slab_width = nn.Linear(3 * 128, num_fields)

    def forward(self, images: Tensor, size: int) -> None:
        """Draw the latents of every sequence."""
        features = self.frames(images)
        transitions = self.transitions(features)
        logits, shift = self.spike(transitions), self.slab_shift(transitions)
        width = 0.1 * softplus(self.slab_width(transitions)) + 1e-3
        with pyro.plate("sequence", size, subsample_size=len(images)):
            pyro.sample("z0", self.start(features[:, 0]))
            for t in range(1, images.shape[1]):
                relaxed = RelaxedBernoulliStraightThrough(
                    torch.tensor(0.5), logits=logits[:, t - 1]
                )
                pyro.sample(f"y{t}", relaxed.to_event(1))
                slab = Laplace(1 + shift[:, t - 1], width[:, t - 1])
                pyro.sample(f"s{t}", slab.to_event(1))

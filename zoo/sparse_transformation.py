"""Sparse transformation analysis: images that change along a few flow fields, a few at a time.

Song, Keller, Yue, Perona, Welling, "Unsupervised Representation Learning from Sparse Transformation
Analysis", 2024, arXiv:2410.05564. Its supervised and weakly supervised predecessor, one field for a
whole sequence, is Song et al., "Flow Factorized Representation Learning", 2023, arXiv:2309.13167.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from .config import AbstractConfig
from .data_checks import check_fields, check_sequences
from .distributions import (
    MAX_TABULATED_FIELDS,
    MarkovSpikeAndSlab,
    OneActiveField,
    PixelBernoulli,
    PixelNormal,
)
from .fields import (
    AbstractField,
    AbstractFlow,
    PenalisedField,
    PotentialField,
    RotationalField,
    StackedFlow,
    add_flows,
)
from .flow_penalties import FlowPenalties
from .nets import ImageDecoder
from .schedules import Schedule, Windows
from .slabs import Slab, make_slab
from .transport import Method, Transported, transport

__all__ = ["IMAGES", "SEQUENCE", "SPEED", "START", "SparseTransformation"]

SEQUENCE = "sequence"
START = "z0"
SPEED = "speed"
IMAGES = "images"
FIELD = "field"
_COUNTS = ("num_fields", "latent_dim", "field_hidden_dim", "decoder_hidden_dim", "steps_per_frame")


class SparseTransformation(nn.Module):
    """Sequences of images whose latent code is carried along sparsely active flow fields.

    For each sequence:

        z0      ~ Normal(0, I)                                 where it starts, D numbers
        speed   ~ sticky Markov spikes x slabs                 T transitions by K fields
        z_0..T  = transport of z0 along sum_k speed_tk v_k     not random
        images  ~ Bernoulli or Normal(decoder(z_t))            T + 1 frames

    Field k is `v_k = grad u_k + (B_k - B_k') grad h_k`: a curl-free and a divergence-free part.
    Since transport is a deterministic function of `z0` and `speed`, the objective is a true ELBO
    with one KL for each of the two sites (`kl="path"`). The published terms (density matching with
    `kl="paper"`, the Hamilton-Jacobi regulariser) are options and are reported beside the ELBO.
    With `activity="one"` a single field, observed or inferred, moves the whole sequence.

    Speeds are in units of the fields: 1 is the centre of the slab prior. Times are in frames.

    Example:
        >>> from mutoscope.zoo import simulate
        >>> model = SparseTransformation(SparseTransformation.Config(image_shape=(1, 8, 8)))
        >>> simulate(model, 3, seed=0)["images"].shape
        torch.Size([3, 9, 1, 8, 8])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AbstractConfig):
        """Sizes, priors and options of the model.

        Attributes:
            image_shape: Channels, height and width.
            length: Number of frames T + 1 of a simulated sequence; data may have another.
            num_fields: Number K of fields.
            latent_dim: Dimension D of the latent space; must hold content and pose.
            field_hidden_dim: Number of ridge functions of each potential and Hamiltonian. With
                richer fields, several shared one factor, each for some poses (see README).
            decoder_hidden_dim: Width of the decoder.
            control: One spike vector for both parts of a field, or one for each with a shared slab.
            rotation: Divergence-free by construction, or the published penalty.
            time_dependent: Whether the potentials change with time.
            activity: "sparse", or "one" field for a whole sequence at speed 1.
            slab: Family of speeds that are on, see `make_slab`.
            slab_scale: Its width. The published 0.1 shrinks speeds that vary; 0.35 fits three-fold.
            window: Number of frames of the windows that the first half of training looks at.
            initial: Probability that a spike is on in the first transition.
            stay: Probability that a spike that is on stays on.
            switch_on: Probability that a spike that is off goes on.
            reject_zero: Whether something always moves.
            likelihood: Of pixels.
            image_scale: Standard deviation of Gaussian pixels.
            method: Solver of the transport equation.
            steps_per_frame: Number of solver steps for each frame.
            kl: "path", or "paper" to add the density matching.
            hamilton_jacobi: Weight of the Hamilton-Jacobi regulariser; 0 leaves it out.
            initial_rest: Weight of its initial condition, that nothing moves before the sequence.
            force: Whether that regulariser allows an external force (2023) or not (2024).
        """

        image_shape: tuple[int, int, int]
        length: int = 9
        num_fields: int = 4
        latent_dim: int = 16
        field_hidden_dim: int = 3
        decoder_hidden_dim: int = 256
        control: Literal["single", "double"] = "single"
        rotation: Literal["exact", "penalised"] = "exact"
        time_dependent: bool = False
        activity: Literal["sparse", "one"] = "sparse"
        slab: Slab = "lognormal"
        slab_scale: float = 0.35
        window: int = 3
        initial: float = 0.1
        stay: float = 0.9
        switch_on: float = 0.1
        reject_zero: bool = False
        likelihood: Literal["bernoulli", "normal"] = "normal"
        image_scale: float = 0.3
        method: Method = "rk4"
        steps_per_frame: int = 1
        kl: Literal["path", "paper"] = "path"
        hamilton_jacobi: float = 0.0
        initial_rest: float = 0.0
        force: bool = True

        def check(self) -> None:
            """Refuse sizes below one, probabilities outside (0, 1) and contradictory options."""
            self.require(all(n >= 1 for n in self.image_shape), "image_shape", "positive sizes")
            for name in ("length", "window"):
                self.require(getattr(self, name) >= 2, name, "at least 2 frames (one transition)")
            for name in _COUNTS:
                self.require(getattr(self, name) >= 1, name, "at least 1")
            for name in ("initial", "stay", "switch_on"):
                self.require(0 < getattr(self, name) < 1, name, "strictly between 0 and 1")
            for name in ("slab_scale", "image_scale"):
                self.require(getattr(self, name) > 0, name, "positive")
            for name in ("hamilton_jacobi", "initial_rest"):
                weight = getattr(self, name)
                self.require(weight >= 0, name, "zero or positive")
                self.require(not weight or self.time_dependent, name, "0 for static potentials")
            single = self.activity == "sparse" or self.control == "single"
            self.require(single, "control", "'single' with activity='one'")
            speeds = self.num_fields * (2 if self.control == "double" else 1)
            few = not self.reject_zero or speeds <= MAX_TABULATED_FIELDS
            self.require(few, "num_fields", f"at most {MAX_TABULATED_FIELDS} speeds if reject_zero")

    spare = frozenset({"speed"})  # there may be more fields than factors that move

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        sizes = config.num_fields, config.latent_dim, config.field_hidden_dim
        self.potential = PotentialField(
            *sizes, time_dependent=config.time_dependent, balanced=config.hamilton_jacobi > 0
        )
        rotational = RotationalField if config.rotation == "exact" else PenalisedField
        self.rotational: AbstractField = rotational(*sizes)
        self.decoder = ImageDecoder(
            config.latent_dim, config.image_shape, config.decoder_hidden_dim
        )
        self.flow_penalties = FlowPenalties(
            latent_dim=config.latent_dim,
            num_fields=config.num_fields,
            density_matching=config.kl == "paper",
            hamilton_jacobi=config.hamilton_jacobi,
            force=config.force,
            initial_rest=config.initial_rest,
            divergence=config.rotation == "penalised",
        )
        self.register_buffer("zero", torch.zeros(()))

    zero: Tensor

    @property
    def windows(self) -> Windows | None:
        """Which stretches of sequences early training looks at; whole ones where time matters.

        In a long sequence all that comes after a transition depends on it, so a field that wrongly
        moves all the time, or always with another, cannot be let go of without spoiling the rest.
        In a short one it can.
        """
        if self.config.time_dependent:
            return None
        return Windows(axis="frame", length=self.config.window, until=0.5)

    @property
    def kl_schedule(self) -> dict[str, Schedule]:
        """How much each KL weighs during training: in the end fully, so that it is the ELBO.

        They weigh little while the decoder learns to draw, lest nothing ever moves. Where one of K
        fields is inferred, its KL weighs much (deterministic annealing): a sequence that is certain
        of its field before fields differ would stay with it.
        """
        speed = Schedule(start=0.3, end=1.0, until=0.2)
        if self.config.activity == "one":
            speed = Schedule(start=100.0, end=1.0, until=0.6)
        return {START: Schedule(start=0.1, end=1.0, until=0.4), SPEED: speed}

    @property
    def num_speeds(self) -> int:
        """Number of speeds in a frame: K, or 2 K under double control."""
        return self.config.num_fields * self.controls

    @property
    def controls(self) -> int:
        """Number of spike vectors: 1 under single control, else 2."""
        return 2 if self.config.control == "double" else 1

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Axis names of each site, in order."""
        pixel = ("channel", "row", "column")
        return {
            START: (SEQUENCE, "latent"),
            SPEED: (SEQUENCE, "time", "field"),
            "z": (SEQUENCE, "frame", "latent"),
            IMAGES: (SEQUENCE, "frame", *pixel),
        }

    @property
    def coords(self) -> dict[str, list[str]]:
        """Labels of the axes that have names."""
        names = [f"field {k}" for k in range(self.config.num_fields)]
        if self.controls == 1:
            return {"field": names}
        return {"field": [f"{part} {n}" for part in ("potential", "rotation") for n in names]}

    def flow(self) -> AbstractFlow:
        """Fold the fields once, ready for transport."""
        parts = self.potential.flow(), self.rotational.flow()
        return StackedFlow(parts) if self.controls == 2 else add_flows(*parts)

    def start_prior(self) -> TorchDistribution:
        """Return p(z0)."""
        one = torch.ones_like(self.zero)
        return Normal(self.zero, one).expand([self.config.latent_dim]).to_event(1)

    def speed_prior(self, transitions: int) -> TorchDistribution:
        """Return p(speed), an array of `transitions` by fields."""
        config = self.config
        if config.activity == "one":
            return OneActiveField(self.zero.expand(self.num_speeds), length=transitions)
        return MarkovSpikeAndSlab(
            make_slab(config.slab, self.zero, self.zero + config.slab_scale),
            length=transitions,
            num_fields=self.num_speeds,
            initial=config.initial,
            stay=config.stay,
            switch_on=config.switch_on,
            controls=self.controls,
            reject_zero=config.reject_zero,
        )

    def moved(
        self,
        start: Float[Tensor, "*#batch latent"],
        speed: Float[Tensor, "*#batch time field"],
        *,
        density: bool = False,
    ) -> Transported:
        """Carry `start` along the fields at the given speeds."""
        config = self.config
        return transport(
            self.flow(),
            start,
            speed,
            method=config.method,
            steps_per_frame=config.steps_per_frame,
            density=density,
        )

    def image_likelihood(self, latent: Float[Tensor, "*batch frame latent"]) -> TorchDistribution:
        """Return p(images | z), one event for the frames of a sequence."""
        pixels = self.decoder(latent)
        if self.config.likelihood == "bernoulli":
            return PixelBernoulli(pixels).to_event(1)
        return PixelNormal(torch.sigmoid(pixels), self.zero + self.config.image_scale).to_event(1)

    def forward(
        self,
        images: Float[Tensor, "*batch frame channel height width"] | None = None,
        field: Int[Tensor, "..."] | None = None,
        *,
        size: int | None = None,
    ) -> Tensor:
        """Run the generative story.

        Args:
            images: Observed sequences; None simulates.
            field: Which field moves each sequence, where that is known (`activity="one"` only).
            size: Number of sequences of the whole data set (without images: number to simulate).
        """
        count = (size or 1) if images is None else images.shape[-5]
        transitions = (self.config.length if images is None else images.shape[-4]) - 1
        with pyro.plate(SEQUENCE, size or count, subsample=torch.arange(count), dim=-1):
            start = pyro.sample(START, self.start_prior())
            known = None
            if field is not None:
                known = OneActiveField.speed_of(field, transitions, self.num_speeds).to(self.zero)
            speed = pyro.sample(SPEED, self.speed_prior(transitions), obs=known)
            latent = pyro.deterministic("z", self.moved(start, speed).latent, event_dim=2)
            return pyro.sample(IMAGES, self.image_likelihood(latent), obs=images)

    def check_data(self, batch: Mapping[str, Tensor]) -> None:
        """Raise `DataError` unless these are sequences that the model can be fitted to."""
        check_sequences(batch, self.config.image_shape, known={IMAGES, FIELD}, minimum_frames=2)
        if FIELD in batch:
            fields = self.num_speeds if self.config.activity == "one" else 0
            check_fields(batch[FIELD], len(batch[IMAGES]), fields)

    def penalties(
        self, values: Mapping[str, Tensor], guide_log_prob: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, "..."]]:
        """Return what the objective adds that is no part of the ELBO, see `FlowPenalties`.

        Args:
            values: The value of each site, drawn by the guide or observed.
            guide_log_prob: The guide's log-density of those that it drew.
        """
        if not self.flow_penalties.active:
            return {}
        density = self.config.kl == "paper"
        moved = self.moved(values[START], values[SPEED], density=density)
        penalties: dict[str, Tensor] = self.flow_penalties(
            self.potential, self.rotational, moved, values[SPEED], guide_log_prob[START]
        )
        return penalties

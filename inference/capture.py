"""The loss and its gradients as one graph: no Python between two operations of a step."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pyro
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from ..zoo.checks import deferred_checks

__all__ = ["CannotCapture", "Captured", "compile_networks"]

_MOST_GRAPHS = 4

Batch = dict[str, Tensor]
_Computed = tuple[Tensor, Tensor, list[Tensor | None]]


class CannotCapture(Exception):
    """The loss cannot be one graph."""


class Captured:
    """The loss and its gradients as one graph.

    The objective runs once on tensors without values, handlers and all, and leaves a graph of its
    operations and of those of its gradient. Parameters and buffers are inputs of the graph: what
    changes in place counts, what is a plain number is fixed for ever. A graph draws the same noise
    as the objective itself, and defers its checks (`deferred_checks`).

    On a processor, kernels of convolutions are laid out anew with channels last, which is how the
    compiler computes: otherwise every step would turn them there and back.

    A graph is for one set of shapes. Batches of other sizes than `sizes`, such as the last of an
    epoch, run without a graph, since they do not come often enough to pay for compiling; so do
    those of a fifth shape.

    Args:
        objective: Maps a batch to the loss, a scalar, and to a vector of named terms. Its
            parameters are the same objects for ever.
        sizes: Numbers of data of the batches that get a graph.
        backend: What compiles the graph, as in `torch.compile`; "eager" runs it as it is.
    """

    def __init__(
        self, objective: nn.Module, sizes: Collection[int], *, backend: str = "inductor"
    ) -> None:
        self._objective, self._sizes, self._backend = objective, frozenset(sizes), backend
        self._graphs: dict[object, Callable[..., _Computed]] = {}
        _arrange_for_convolutions(objective)
        self._parameters = dict(objective.named_parameters())
        self._learned = [name for name, p in self._parameters.items() if p.requires_grad]

    def __call__(self, batch: Batch) -> tuple[Float[Tensor, ""], Float[Tensor, " term"]]:
        """Return the loss and the terms, and leave the gradient in the parameters.

        Those that the loss does not depend on get None.

        Args:
            batch: Observed tensors by name, with a common first axis.

        Raises:
            CannotCapture: What the objective does depends on data, or a compiler is missing. No
                noise was drawn.
        """
        named = self._parameters | dict(self._objective.named_buffers())
        state = {name: tensor.detach() for name, tensor in named.items()}
        graph = self._graph(state, batch)
        if graph is None:
            loss, terms, gradients = self._compute(state, batch)
        else:
            with torch.no_grad(), _full_precision(batch):
                loss, terms, gradients = graph(state, batch)
        taken = {tensor.data_ptr() for tensor in (*state.values(), *batch.values())}
        for name, gradient in zip(self._learned, gradients, strict=True):
            parameter = self._parameters[name]
            parameter.grad = _own(gradient, parameter, taken)
        return loss, terms

    def _graph(self, state: Batch, batch: Batch) -> Callable[..., _Computed] | None:
        shapes = tuple((name, x.shape, x.dtype) for name, x in batch.items())
        wanted = len(next(iter(batch.values()))) in self._sizes
        if wanted and shapes not in self._graphs and len(self._graphs) < _MOST_GRAPHS:
            self._graphs[shapes] = self._capture(state, batch)
        return self._graphs.get(shapes)

    def _capture(self, state: Batch, batch: Batch) -> Callable[..., _Computed]:
        """Return a graph, without a trace in the state or the random generators."""
        state = {name: tensor.clone() for name, tensor in state.items()}
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            # Errors of the objective's own show here; so does what it works out only once.
            self._compute(state, batch)
            try:
                return self._compiled(state, batch)
            except Exception as error:  # one of many kinds, by what could not be captured
                raise CannotCapture(_in_one_line(error)) from error

    def _compiled(self, state: Batch, batch: Batch) -> Callable[..., _Computed]:
        trace = make_fx(lambda *inputs: self._compute(*inputs), tracing_mode="fake")
        with pyro.validation_enabled(False), deferred_checks():
            graph: Any = trace(state, batch)
        if self._backend != "eager":
            # Noise as in the objective, not from a generator of the compiler's own.
            options: Any = {"fallback_random": True} if self._backend == "inductor" else None
            graph = torch.compile(
                graph, fullgraph=True, dynamic=False, backend=self._backend, options=options
            )
        with torch.no_grad(), _full_precision(batch):
            graph(state, batch)  # compiles now, where a failure is caught
        return graph

    def _compute(self, state: Batch, batch: Batch) -> _Computed:
        learned = self._learned
        state = {name: x.detach().requires_grad_(name in learned) for name, x in state.items()}
        loss, terms = functional_call(self._objective, state, (batch,))
        with _full_precision(batch):
            leaves = [state[name] for name in learned]
            gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        return loss.detach(), terms.detach(), list(gradients)


def _arrange_for_convolutions(objective: nn.Module) -> None:
    for layer in objective.modules():
        if type(layer) in (nn.Conv2d, nn.ConvTranspose2d):
            kernel: Any = layer.weight
            if kernel.device.type == "cpu":
                kernel.data = kernel.to(memory_format=torch.channels_last)


def _full_precision(batch: Mapping[str, Tensor]) -> torch.autocast:
    """Return a context without autocasts: gradients and graphs hold the casts that they need."""
    return torch.autocast(next(iter(batch.values())).device.type, enabled=False)


def _own(gradient: Tensor | None, parameter: Tensor, taken: set[int]) -> Tensor | None:
    """Return the gradient in memory of its own, since optimizers change it in place."""
    if gradient is None:
        return None
    if gradient.data_ptr() in taken or gradient.stride() != parameter.stride():
        gradient = torch.empty_like(parameter).copy_(gradient)
    taken.add(gradient.data_ptr())
    return gradient


def _in_one_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join([f"{type(error).__name__}:", *lines[:2]])[:200]


def compile_networks(model: nn.Module, guide: nn.Module, *, backend: str = "inductor") -> None:
    """Compile networks in place: for a model and guide whose loss cannot be one graph.

    These are the largest submodules that are made of torch's own layers only, and of more than one.
    One that turns out not to compile stays as it is.

    Args:
        model: A Pyro model.
        guide: Its guide.
        backend: What compiles them, as in `torch.compile`.
    """
    for network in (*_networks(model), *_networks(guide)):
        _compile(network, backend)


def _compile(network: nn.Module, backend: str) -> None:
    """Do what `network.compile` does not: the compiler passes over calls within torch itself."""

    def plain(*inputs: Tensor) -> Any:  # noqa: ANN401 - whatever the network returns
        return network._call_impl(*inputs)

    # Compilations are kept, and limited in number, for each object of code.
    plain.__code__ = plain.__code__.replace()
    compiled = torch.compile(plain, dynamic=True, backend=backend)

    def call(*inputs: Tensor) -> Any:  # noqa: ANN401 - likewise
        try:
            return compiled(*inputs)
        except Exception:  # of many kinds; one of the network itself is raised again below
            network._compiled_call_impl = None
            return plain(*inputs)

    network._compiled_call_impl = call


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        layers = list(child.modules())
        ours = not all(type(layer).__module__.startswith("torch.nn.") for layer in layers)
        if ours or isinstance(child, nn.ModuleList | nn.ModuleDict):  # these cannot be called
            yield from _networks(child)
        elif len(layers) > 1:
            yield child

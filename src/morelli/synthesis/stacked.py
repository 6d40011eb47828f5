"""Many models of one architecture at once: their weights stacked, one forward pass for all.

Schemes, which all give the numbers of the single model up to rounding:

``grouped``
    One network with grouped convolutions.
``matmul``
    The same, its convolutions as one batched matrix product over unfolded images.
``vmap``
    ``torch.func.vmap`` of the single model over the stacked weights.
``loop``
    One model after another.

Measured with ``benchmarks/synthesis.py``: on a CPU a group of small convolutions is slower than one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from morelli.errors import InputError, UnknownNameError, WeightsError
from morelli.synthesis.architectures import Architecture, ModelKey, from_id
from morelli.synthesis.network import WIDTH, SyntheticModel, check_sides
from morelli.synthesis.streams import stream_seed

SCHEMES = ("loop", "grouped", "matmul", "vmap")
#: BatchNorm counts its batches and never uses the count.
_COUNTER = "num_batches_tracked"

Weights = Mapping[str, Tensor]


class MatmulConv(nn.Conv2d):
    """A grouped 3×3 convolution as a batched matrix product."""

    def forward(self, input: Tensor) -> Tensor:
        number, _, height, width = input.shape
        columns = F.unfold(input, 3, padding=1).view(number, self.groups, -1, height * width)
        weight = self.weight.reshape(self.groups, self.out_channels // self.groups, -1)
        out = torch.matmul(weight, columns).view(number, self.out_channels, height, width)
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)


def choose_scheme(name: str, device: torch.device) -> str:
    """``auto`` is the fastest that was measured: ``loop`` on a CPU, ``grouped`` elsewhere.

    Raises
    ------
    UnknownNameError
        No such scheme.
    """
    if name == "auto":
        return "loop" if device.type == "cpu" else "grouped"
    if name not in SCHEMES:
        raise UnknownNameError("scheme", name, ("auto", *SCHEMES))
    return name


@lru_cache(maxsize=1024)
def _skeleton(architecture: Architecture, width: int, copies: int, matmul: bool, training: bool) -> SyntheticModel:
    # Its own weights are never used: every call brings some. Making one takes longer than running one.
    with torch.device("meta"):
        return SyntheticModel(architecture, width, copies, MatmulConv if matmul else nn.Conv2d).train(training)


def fresh_weights(keys: Sequence[ModelKey], width: int = WIDTH) -> dict[str, Tensor]:
    """Stacked first weights of models of one architecture; each depends on its own key alone.

    Parameters
    ----------
    keys : sequence of ModelKey, length s

    Returns
    -------
    dict of str to Tensor, each of shape (s, …), float32
        As `weights_of`.
    """
    single: list[dict[str, Tensor]] = []
    for key in keys:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(key, "weights"))
            single.append(weights_of(SyntheticModel(from_id(key.architecture_id), width)))
    return {name: torch.stack([each[name] for each in single]) for name in single[0]}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics of one model."""
    return {name: value.detach().clone() for name, value in model.state_dict().items() if not name.endswith(_COUNTER)}


def build(architecture: Architecture, weights: Weights, width: int = WIDTH) -> SyntheticModel:
    """One model with these weights, in ``eval``.

    Raises
    ------
    WeightsError
        The weights are those of another architecture or width.
    """
    model = SyntheticModel(architecture, width)
    wanted = {name: value.shape for name, value in weights_of(model).items()}
    if wanted != {name: value.shape for name, value in weights.items()}:
        raise WeightsError(f"are not those of architecture {architecture} of width {width}.", argument="weights")
    model.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    return model.eval()


class Stack:
    """Models of one architecture, run together.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to Tensor, each of shape (s, …), float32
        Stacked weights; copied.
    scheme : {"loop", "grouped", "matmul", "vmap"}
    width : int
    trainable : bool
        Keep gradients of the parameters.

    Attributes
    ----------
    parameters : dict of str to Tensor, each of shape (s, …)
        Leaves for an optimiser.
    statistics : dict of str to Tensor, each of shape (s, …)
        Running means and variances.
    """

    def __init__(
        self, architecture: Architecture, weights: Weights, scheme: str, width: int = WIDTH, *, trainable: bool = False
    ) -> None:
        self.architecture, self.width, self.scheme = architecture, width, scheme
        self.count = len(next(iter(weights.values())))
        device = next(iter(weights.values())).device
        together = scheme in ("grouped", "matmul")
        self._form = (architecture, width, self.count if together else 1, scheme == "matmul")
        self._net = _skeleton(*self._form, True)
        known = {name for name, _ in self._net.named_parameters()}
        own = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()}
        self.parameters = {name: own[name].requires_grad_(trainable) for name in own if name in known}
        self.statistics = {name: own[name] for name in own if name not in known}
        counters = [name for name, _ in self._net.named_buffers() if name.endswith(_COUNTER)]
        shape = () if together or scheme == "loop" else (self.count,)
        self._counters = {name: torch.zeros(shape, dtype=torch.long, device=device) for name in counters}

    def train(self, mode: bool = True) -> Stack:
        """Normalise with the batch and move the running statistics, or with ``mode=False`` use those."""
        self._net = _skeleton(*self._form, mode)
        return self

    def weights(self) -> dict[str, Tensor]:
        """Stacked weights, as they came in."""
        return {name: value.detach() for name, value in {**self.parameters, **self.statistics}.items()}

    def __call__(self, images: Tensor) -> Tensor:
        """Each model's own images through it.

        Parameters
        ----------
        images : Tensor, shape (s, n, 3, h, w), float32, −1 to 1

        Returns
        -------
        Tensor, shape (s, n, 3, h, w)
            Not clamped.

        Raises
        ------
        InputError
            Images for another number of models.
        ArrayError
            Sides that the architecture cannot give back.
        """
        if images.ndim != 5 or len(images) != self.count:
            raise InputError(f"must be ({self.count}, n, 3, h, w); got {tuple(images.shape)}.", argument="images")
        check_sides(images, self.architecture)
        if self.scheme == "loop":
            return torch.stack([self._single(row, images[row]) for row in range(self.count)])
        if self.scheme == "vmap":
            held = {**self.parameters, **self.statistics, **self._counters}
            return vmap(lambda weights, own: functional_call(self._net, weights, (own,)))(held, images)
        return self._grouped(images)

    def _single(self, row: int, images: Tensor) -> Tensor:
        # Rows are views, so that BatchNorm writes its running statistics into the stack. Channels last is about twice
        # as fast for one model on a CPU.
        held = {name: value[row] for name, value in {**self.parameters, **self.statistics}.items()}
        return functional_call(
            self._net, {**held, **self._counters}, (images.contiguous(memory_format=torch.channels_last),)
        )

    def _grouped(self, images: Tensor) -> Tensor:
        held = {name: value.flatten(0, 1) for name, value in {**self.parameters, **self.statistics}.items()}
        side_by_side = images.transpose(0, 1).flatten(1, 2)
        out = functional_call(self._net, {**held, **self._counters}, (side_by_side,))
        return out.unflatten(1, (self.count, 3)).transpose(0, 1)

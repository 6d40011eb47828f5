"""A small denoiser as the beginning of a larger one that computes the same (Chen et al., *Net2Net*, 2016)."""

from __future__ import annotations

import torch

from morelli.errors import InputError
from morelli.fingerprint.denoiser import Denoiser, Form


@torch.no_grad()
def grown(small: Denoiser, form: Form) -> Denoiser:
    """A denoiser of a larger form, without normalisation, that gives the small one's output less a wider margin.

    The convolutions between the small one's last two pass their input on. What is new gets random weights, and none of
    its output is used yet: the gradient changes that.

    Parameters
    ----------
    small : Denoiser
        Folded.
    form : Form
        At least as deep and as wide.

    Raises
    ------
    InputError
        It is smaller.
    """
    depth, width = small.form.depth, small.form.width
    if form.depth < depth or form.width < width:
        raise InputError(f"must be {small.form} at least, and is {form}.", argument="form")
    out = Denoiser(form, norm=False)
    given, made = small.convolutions, out.convolutions
    for number, layer in enumerate(made[:-1]):
        before = given[min(number, depth - 1)].bias
        if layer.bias is None or before is None:
            raise InputError("must have biases.", argument="form")
        torch.nn.init.kaiming_normal_(layer.weight, mode="fan_in")
        layer.weight[:width] = 0.0
        layer.bias.zero_()
        if number < depth - 1:
            layer.weight[:width, : given[number].in_channels] = given[number].weight
            layer.bias[:width] = before
        else:
            layer.weight[range(width), range(width), 1, 1] = 1.0
    out.centre_first()
    last = made[-1]
    last.weight.zero_()
    last.weight[:, :width] = given[-1].weight
    if last.bias is not None and given[-1].bias is not None:
        last.bias.copy_(given[-1].bias)
    return out

"""PEZ: gradient search over hard tokens. Source: Wen et al., *Hard prompts made easy* (2023), algorithm 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from morelli.inversion.base import Steps


@dataclass(frozen=True)
class SearchSettings:
    """Constants of the search, as in the authors' code.

    Attributes
    ----------
    length : int
        Tokens of the prompt.
    iterations : int
    learning_rate, weight_decay : float
        Of AdamW.
    seed : int
        Of the random tokens that it starts from.
    """

    length: int = 16
    iterations: int = 3000
    learning_rate: float = 0.1
    weight_decay: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """The best hard prompt that was seen.

    Attributes
    ----------
    tokens : tuple of int
        Rows of the vocabulary.
    similarity : float
    step : int
        When it was seen, from 0.
    trace : tuple of float
        The best similarity so far, after each step: it never falls.
    """

    tokens: tuple[int, ...]
    similarity: float
    step: int
    trace: tuple[float, ...]


def project(soft: Tensor, vocabulary: Tensor) -> Tensor:
    """The nearest row of the vocabulary to each soft token, by cosine.

    Parameters
    ----------
    soft : Tensor, shape (length, d)
    vocabulary : Tensor, shape (v, d)

    Returns
    -------
    Tensor of int, shape (length,)
    """
    return (F.normalize(soft, dim=-1) @ F.normalize(vocabulary, dim=-1).T).argmax(dim=-1)


def search(
    similarity: Callable[[Tensor], Tensor],
    vocabulary: Tensor,
    settings: SearchSettings = SearchSettings(),
    progress: Steps | None = None,
) -> Found:
    """Hard tokens whose similarity is as large as the search finds.

    Each step projects the soft tokens, takes the loss 1 − similarity and its gradient at the projected ones, and
    applies that gradient to the soft ones.

    Parameters
    ----------
    similarity : callable
        Token embeddings, shape (length, d), to a scalar; differentiable.
    vocabulary : Tensor, shape (v, d)
        Embeddings of the tokens that a prompt may have.
    settings : SearchSettings
    progress : callable, optional
        ``progress(done, total)``.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    start = torch.randint(len(vocabulary), (settings.length,), generator=generator)
    soft = vocabulary[start.to(vocabulary.device)].clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([soft], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    unit = F.normalize(vocabulary, dim=-1)
    best, tokens, seen, trace = -float("inf"), start, 0, []
    for step in range(settings.iterations):
        ids = project(soft.detach(), unit)
        hard = vocabulary[ids].clone().requires_grad_(True)
        value = similarity(hard)
        (soft.grad,) = torch.autograd.grad(1.0 - value, hard)
        if value.item() > best:
            best, tokens, seen = value.item(), ids, step
        trace.append(best)
        optimizer.step()
        if progress is not None:
            progress(step + 1, settings.iterations)
    return Found(tuple(tokens.tolist()), best, seen, tuple(trace))

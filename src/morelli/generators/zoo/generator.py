"""A model of the zoo behind the generators' contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from morelli.errors import InputError, UnknownNameError
from morelli.generators.base import SEEDS, Generated, Setting, check_generated
from morelli.generators.zoo.manifest import Manifest
from morelli.generators.zoo.words import check_prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RANGES: dict[str, tuple[float, float]] = {"steps": (1, 1000), "guidance": (1, 20), "temperature": (0.05, 5)}
_FIXED = ("width", "height")


class ZooGenerator:
    """One model, read lazily. Runs on one thread of the CPU in fp32: the same pixels whatever else is asked for.

    Parameters
    ----------
    manifest : Manifest
    name : str
    settings : mapping
        In place of the model's own.
    model : str, optional
        Name in datasets, where these settings are to count as a deployment of its own.

    Raises
    ------
    UnknownNameError
        No model of that name, or a setting that it does not have.
    InputError
        A setting out of range.
    """

    hosted = False
    host: str | None = None

    def __init__(
        self, manifest: Manifest, name: str, settings: Mapping[str, Setting], model: str | None = None
    ) -> None:
        self._manifest, self._entry = manifest, manifest.entry(name)
        self._settings = {**self._entry.settings, **self._checked(settings)}
        self._name = model or name
        self._pipeline: Any = None

    def _checked(self, settings: Mapping[str, Setting]) -> dict[str, Setting]:
        open_to_change = [key for key in self._entry.settings if key not in _FIXED]
        for key, value in settings.items():
            if key not in open_to_change:
                raise UnknownNameError(f"setting of {self.id}", key, open_to_change)
            low, high = _RANGES.get(key, (None, None))
            if low is None or high is None:
                continue
            if isinstance(value, bool | str) or not low <= value <= high:
                raise InputError(f"{key} must be {low:g} to {high:g}, and is {value!r}.", argument=self.id)
        return dict(settings)

    def __repr__(self) -> str:
        return f"ZooGenerator({self._name!r}, settings={self._settings!r})"

    @property
    def id(self) -> str:
        """``zoo/NAME``."""
        return f"zoo/{self._entry.name}"

    @property
    def model(self) -> str:
        """The model's name, or that of the deployment."""
        return self._name

    @property
    def base(self) -> str:
        """The model that its weights go back to; its own name where they go back to none."""
        return self._entry.base

    @property
    def family(self) -> str:
        """The model that the weights go back to."""
        return self._entry.family

    @property
    def revision(self) -> str:
        """12 hexadecimal digits of a SHA-256 over the files that the model uses."""
        return self._manifest.revision(self._entry.name)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Steps, guidance, scheduler and size, where the model has them."""
        return dict(self._settings)

    def load(self) -> None:
        """Read the weights now; `generate` does it otherwise.

        Raises
        ------
        MissingExtraError
            diffusers or transformers is not installed.
        WeightsError
            A file is absent or is not the one that the manifest lists.
        """
        if self._pipeline is None:
            from morelli.generators.zoo.load import load_pipeline

            self._pipeline = load_pipeline(self._manifest, self._entry, self._settings)

    def pixels(self, prompts: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Pictures of several prompts at once: quicker, and not bit for bit those of `generate`.

        Returns
        -------
        ndarray, shape (n, 64, 64, 3), uint8

        Raises
        ------
        InputError
            A prompt that the model cannot read.
        """
        texts = [check_prompt(prompt, self.id) for prompt in prompts]
        self.load()
        return self._pipeline(texts, list(seeds))

    def generate(self, prompt: str, count: int, seed: int) -> list[Generated]:
        """Images of a prompt; image ``i`` has the seed ``seed + i``.

        Parameters
        ----------
        prompt : str
            Words of the world, see `morelli.generators.zoo.world.WORDS`.
        count : int
            At least 1.
        seed : int
            At least 0; the last image's is below 2**32, for PyTorch's CPU generator reads no more bits.

        Raises
        ------
        InputError
            A prompt, count or seed that the model cannot take.
        WeightsError
            The weights are not those that the manifest lists.
        MissingExtraError
            diffusers or transformers is not installed.
        BadGenerationError
            The model made a blank image.
        """
        if count < 1:
            raise InputError(f"must be at least 1, came {count}.", argument="count")
        if not 0 <= seed <= SEEDS - count:
            raise InputError(f"must be at least 0 and below 2**32 - {count - 1}, came {seed}.", argument="seed")
        # One at a time: matrix products of another batch size may round otherwise in the last bit.
        return [self._one(prompt, seed + i) for i in range(count)]

    def _one(self, prompt: str, seed: int) -> Generated:
        made = Generated(
            pixels=self.pixels([prompt], [seed])[0],
            model=self.model,
            family=self.family,
            revision=self.revision,
            prompt=prompt,
            seed=seed,
            settings=self.settings,
        )
        return check_generated(made, self)

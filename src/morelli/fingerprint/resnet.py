"""The published extractor: ResNet-50 over spectra."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from morelli.errors import MissingExtraError, WeightsError

#: Length of the features.
FEATURES = 2048
#: Name → length of the layers that `ResNet50.layers` gives.
LAYERS = {"mean": FEATURES}


class ResNet50(nn.Module):
    """The published extractor: transformers' ResNet-50 with its 7 × 7 stem; features are its pooled last stage.

    Parameters
    ----------
    channels : int
        Of the spectra.
    pretrained : Path, optional
        Folder in the transformers layout to begin from; by default the weights are random.
    """

    def __init__(self, channels: int = 3, pretrained: Path | None = None) -> None:
        super().__init__()
        try:
            from transformers import ResNetConfig, ResNetModel
        except ImportError as error:
            raise MissingExtraError("transformers", 'The extractor "resnet50"') from error
        if pretrained is None:
            self.net = ResNetModel(ResNetConfig(num_channels=channels))
        else:
            try:
                self.net = ResNetModel.from_pretrained(pretrained, local_files_only=True)
            except (OSError, ValueError) as error:
                raise WeightsError(
                    f"holds no ResNet: {str(error).splitlines()[0]}", argument=str(pretrained)
                ) from error
            found = (self.net.config.num_channels, (self.net.config.hidden_sizes or [0])[-1])
            if found != (channels, FEATURES):
                raise WeightsError(
                    f"must take {channels} channels and give {FEATURES} features; it has {found}.",
                    argument=str(pretrained),
                )

    def forward(self, spectra: Tensor) -> Tensor:
        """Features (n, 2048), not normalised and not negative."""
        return self.net(spectra).pooler_output.flatten(1)

    def layers(self, spectra: Tensor) -> dict[str, Tensor]:
        """Features by layer: the last alone, as published."""
        return {"mean": self(spectra)}

"""An image, and what in it speaks for a class: layer, class, method and opacity are controls."""

from collections.abc import Sequence

import cv2
import ipywidgets
import torch
from torch import nn

from labutils.cam import METHODS, at_pixels, class_activation_maps, map_layers, triptych
from labutils.cam.maps import Maps
from labutils.data import Split
from labutils.report.cams.figures import rgb
from labutils.report.explorers.drawing import SLIDER, Explorer
from labutils.report.statistics import percent
from labutils.training.evaluation import predict

NO_CLASS = -1  # the predicted class; or none to set it against
ENLARGED = 256  # at least so many pixels are the sides of the picture


class MapExplorer(Explorer):
    """The map of any image, class (or difference of two), layer and method, in under 200 ms.

    Args:
        network: a classifier.
        images: with their labels; what is shown is chosen among them.
        class_names: in the order of the labels.
    """

    def __init__(self, network: nn.Module, images: Split, class_names: Sequence[str]) -> None:
        self.network, self.images, self.class_names = network, images, list(class_names)
        self.probability = predict(network, images.images)
        right = self.probability.argmax(1) == images.labels
        groups = {"all": torch.ones_like(right), "right": right, "wrong": ~right}
        self.groups = {
            f"{name} ({chosen.sum()})": chosen.nonzero().flatten().tolist()
            for name, chosen in groups.items()
            if chosen.any()
        }
        classes = [(name, number) for number, name in enumerate(self.class_names)]
        layers = list(map_layers(network, images.images[:1]))
        methods = [(method.title, name) for name, method in METHODS.items()]
        self.group = ipywidgets.Dropdown(options=list(self.groups), description="Predictions")
        self.image = ipywidgets.SelectionSlider(
            options=self.groups[self.group.value], description="Image", **SLIDER
        )
        self.class_idx = ipywidgets.Dropdown(
            options=[("predicted class", NO_CLASS), *classes], description="Class"
        )
        self.versus = ipywidgets.Dropdown(
            options=[("nothing", NO_CLASS), *classes], description="against"
        )
        self.layer = ipywidgets.Dropdown(options=layers, value=layers[-1], description="Layer")
        self.method = ipywidgets.Dropdown(options=methods, value="grad-cam", description="Method")
        self.opacity = ipywidgets.FloatSlider(
            value=0.7, min=0, max=1, step=0.1, description="Opacity", **SLIDER
        )
        of_map = [self.class_idx, self.versus, self.layer, self.method]
        super().__init__(self.group, [self.group, self.image, self.opacity], of_map)

    def adapt(self) -> None:
        """Offer the images of the chosen group, and show its first."""
        self.image.options = self.groups[self.group.value]

    def look(self) -> tuple[str, bytes | None]:
        """The image, its map and both together; or why there is no such map."""
        image = self.images.images[self.image.value][None]
        asked = {"method": self.method.value, "target_layer": self.layer.value}
        for name, control in {"class_idx": self.class_idx, "versus": self.versus}.items():
            asked[name] = None if control.value == NO_CLASS else control.value
        try:
            maps = class_activation_maps(self.network, image, **asked)
        except ValueError as error:
            return f"There is no such map: {error}.", None
        return self._sentence(maps), self._picture(image, maps)

    def _sentence(self, maps: Maps) -> str:
        probability = self.probability[self.image.value]
        names, label = self.class_names, int(self.images.labels[self.image.value])
        predicted, shown = int(probability.argmax()), int(maps.class_idx[0])
        against = "" if maps.versus is None else f" against {names[int(maps.versus[0])]}"
        empty = "" if maps.values.max() > 0 else " Nothing speaks for it: the map is all zero."
        return (
            f"Label: {names[label]}; prediction: {names[predicted]} "
            f"({percent(probability[predicted].item())}). The map says what speaks for "
            f"{names[shown]} ({percent(probability[shown].item())}){against}; it has "
            f"{maps.values.shape[1]} x {maps.values.shape[2]} cells, and its largest value is "
            f"{maps.values.max().item():.2g}.{empty}"
        )

    def _picture(self, image: torch.Tensor, maps: Maps) -> bytes:
        drawn = at_pixels(self.network, image, maps)[0].cpu().numpy()
        factor = max(1, ENLARGED // min(drawn.shape))
        large, drawn = (of.repeat(factor, 0).repeat(factor, 1) for of in (rgb(image)[0], drawn))
        picture = triptych(large, drawn, opacity=self.opacity.value)
        _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return encoded.tobytes()

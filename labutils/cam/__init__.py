"""Class activation maps of any convolutional network: drawn where they look, and measured."""

from labutils.cam.layers import map_layers
from labutils.cam.maps import METHODS, Maps, class_activation_maps
from labutils.cam.overlay import overlay, triptych
from labutils.cam.placement import at_pixels

__all__ = [
    "METHODS",
    "Maps",
    "at_pixels",
    "class_activation_maps",
    "map_layers",
    "overlay",
    "triptych",
]

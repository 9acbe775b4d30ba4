"""Class activation maps: CAM, Grad-CAM and kin, each one line on a feature map and its gradient."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labutils.cam.layers import CellMaps, find_layer, is_map, only_map, prepare, watching
from labutils.training.execution import full_precision
from labutils.training.inputs import check_logits

FeatureMap = Float[Tensor, "batch channels rows columns"]
Weights = Float[Tensor, "batch channels 1 1"]
Classes = int | Sequence[int] | np.ndarray | Tensor  # one for all images, or one an image


class Maps(NamedTuple):
    """Maps of a batch, at the resolution of the layer.

    Attributes:
        values: what each cell says for the class; not normalised.
        class_idx: class of each image that its map is of.
        versus: class of each image that it is set against, if any.
    """

    values: CellMaps
    logits: Float[Tensor, "batch classes"]
    class_idx: Int[Tensor, " batch"]
    versus: Int[Tensor, " batch"] | None
    layer: str


class Method(NamedTuple):
    """A way to make a map from the feature maps A_k and the gradients g_k of the logit there.

    Attributes:
        equation: of the map M, or of the weights w_k in M = sum_k w_k A_k.
    """

    title: str
    paper: str
    equation: str
    combine: Callable[[FeatureMap, Tensor], CellMaps]


def _plus_plus(a: FeatureMap, g: FeatureMap) -> Weights:
    """Weights of Grad-CAM++: the sum of alpha relu(g), alpha = g^2 / (2 g^2 + sum(A) g^3).

    That is the paper's equation 19 for the score exp(logit), without its factor exp(logit): one
    number for a whole map, which overflows. Where g is positive, alpha = 1 / (2 + sum(A) g), which
    is never divided by zero as long as the maps are not negative. pytorch-grad-cam adds 1e-6, which
    is more than the rest where gradients are small (1e-3 behind an average over 7x7 cells).
    torchcam deviates: its division works on a copy, so that its alpha is g^2.
    """
    positive = g.relu()
    denominator = 2 + a.sum((2, 3), keepdim=True) * positive
    return torch.where(denominator == 0, 0, positive / denominator).sum((2, 3), keepdim=True)


def _relative(a: FeatureMap, g: FeatureMap) -> Weights:
    """Weights of XGrad-CAM; a channel that is zero everywhere has none."""
    total = a.sum((2, 3), keepdim=True)
    return torch.where(total == 0, 0, (g * a).sum((2, 3), keepdim=True) / total)


METHODS = {
    "cam": Method(
        "CAM",
        "Zhou et al. 2016, Learning Deep Features for Discriminative Localization, equation 2",
        "w_k = weight of channel k in the linear layer behind global average pooling",
        lambda a, w: (w * a).sum(1),
    ),
    "grad-cam": Method(
        "Grad-CAM",
        "Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks, equations 1, 2",
        "w_k = mean(g_k)",
        lambda a, g: (g.mean((2, 3), keepdim=True) * a).sum(1),
    ),
    "grad-cam++": Method(
        "Grad-CAM++",
        "Chattopadhay et al. 2018, Grad-CAM++: Generalized Gradient-based Visual Explanations, "
        "equation 19",
        "w_k = sum(relu(g_k) g_k^2 / (2 g_k^2 + sum(A_k) g_k^3))",
        lambda a, g: (_plus_plus(a, g) * a).sum(1),
    ),
    "hirescam": Method(
        "HiResCAM",
        "Draelos and Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations",
        "M = sum_k g_k A_k",
        lambda a, g: (g * a).sum(1),
    ),
    "layercam": Method(
        "LayerCAM",
        "Jiang et al. 2021, LayerCAM: Exploring Hierarchical Class Activation Maps",
        "M = sum_k relu(g_k) A_k",
        lambda a, g: (g.relu() * a).sum(1),
    ),
    "xgrad-cam": Method(
        "XGrad-CAM",
        "Fu et al. 2020, Axiom-based Grad-CAM: Towards Accurate Visualization",
        "w_k = sum(g_k A_k) / sum(A_k)",
        lambda a, g: (_relative(a, g) * a).sum(1),
    ),
}


def class_activation_maps(
    network: nn.Module,
    images: Tensor,
    *,
    method: str = "grad-cam",
    target_layer: str | None = None,
    class_idx: Classes | None = None,
    versus: Classes | None = None,
    rectify: bool = True,
) -> Maps:
    """What in the images speaks for a class: a map of each, at the layer's own resolution.

    The network runs once, in eval mode, and is differentiated from the logits to the layer only
    ("cam": not at all). It is left as it was.

    Args:
        images: (batch, channels, height, width) as the network takes them; bytes or floats.
        method: a key of `METHODS`.
        target_layer: name of a layer; by default the last whose output is a map of more than one
            cell, containers included.
        class_idx: class to explain; by default the predicted one.
        versus: class to set it against: the map of the difference of both logits.
        rectify: negative values, which speak against the class, become 0.

    Raises:
        ValueError: an argument does not fit the network, or "cam" a network that does not end in
            global average pooling and one linear layer.
    """
    if method not in METHODS:
        raise ValueError(f"no method is called {method!r}: expected one of {', '.join(METHODS)}")
    network, batch = prepare(network, images)
    layer = find_layer(network, images, target_layer)
    record = _Record(differentiate=method != "cam")
    heads = [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    hooks = {} if record.differentiate else dict.fromkeys(heads, record.head)
    with watching(network, {**hooks, network.get_submodule(layer): record.layer}):
        logits = network(batch)
        feature_map = only_map(network, images, layer, record.outputs)
        check_logits(logits, images)
        chosen = as_classes(class_idx, logits, "class_idx")
        against = None if versus is None else as_classes(versus, logits, "versus")
        if record.differentiate:
            weights = _gradient(logits, chosen, against, feature_map, layer)
        else:
            feature_map, head = _head(feature_map, logits, record.heads)
            weights = head[chosen] if against is None else head[chosen] - head[against]
            weights = weights[:, :, None, None]
    values = METHODS[method].combine(*(full_precision(x.detach()) for x in (feature_map, weights)))
    return Maps(values.relu() if rectify else values, logits.detach(), chosen, against, layer)


class _Record:
    """Keeps the output of a layer, and cuts the graph there: what lies before needs no gradient."""

    def __init__(self, *, differentiate: bool) -> None:
        self.differentiate = differentiate
        self.outputs: list[Any] = []
        self.heads: list[tuple[Tensor, Tensor, Tensor]] = []

    def layer(self, module: nn.Module, args: tuple, output: Any) -> Any:
        if not is_map(output):
            self.outputs.append(output)
            return output
        self.outputs.append(output.detach().clone().requires_grad_(self.differentiate))
        torch.set_grad_enabled(self.differentiate)
        return self.outputs[-1].clone()  # an activation that works in place may follow

    def head(self, module: nn.Module, args: tuple, output: Tensor) -> None:
        """Weights, input and output of a linear layer, or of a convolution of a single cell."""
        if args and args[0].shape[2:].numel() == module.weight.shape[2:].numel() == 1:
            tensors = module.weight.detach(), args[0].clone(), output.clone()
            self.heads.append(tuple(tensor.flatten(1) for tensor in tensors))


def as_classes(given: Classes | None, logits: Tensor, name: str) -> Int[Tensor, " batch"]:
    """A class for each image."""
    if given is None:
        return logits.detach().argmax(1)
    classes = torch.as_tensor(given, device=logits.device)
    batch, count = logits.shape
    if classes.is_floating_point() or classes.shape not in ((), (batch,)):
        raise ValueError(
            f"{name} is {given!r}: expected one class, or one for each of the {batch} images"
        )
    if ((classes < 0) | (classes >= count)).any():
        raise ValueError(f"{name} is {given!r}: expected classes from 0 to {count - 1}")
    return classes.long().expand(batch)


def _gradient(
    logits: Tensor, chosen: Tensor, against: Tensor | None, feature_map: Tensor, layer: str
) -> Tensor:
    score = logits.gather(1, chosen[:, None])
    if against is not None:
        score = score - logits.gather(1, against[:, None])
    gradient = None
    if score.requires_grad:  # in eval mode an image's logits depend on that image alone
        (gradient,) = torch.autograd.grad(score.sum(), feature_map, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"the logits cannot be differentiated with respect to layer {layer!r}: they do not "
            "depend on it, or the network detaches them; name another target_layer"
        )
    return gradient


def _head(
    feature_map: Tensor, logits: Tensor, heads: list[tuple[Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """The map that is pooled, and each class's weights of its channels.

    Whether the network pools it and ends in a linear layer is seen from its numbers, whatever it is
    made of. A network may rectify its last map in a function, which no layer shows (DenseNet); one
    that pools a map of class scores is the same function as one with a linear layer behind.
    """
    for pooled_map in (feature_map, feature_map.relu()):
        pooled = pooled_map.mean((2, 3))
        if _equal(pooled, logits):
            return pooled_map, torch.eye(logits.shape[1], device=logits.device)
        for weight, given, output in heads:
            if _equal(pooled, given) and _equal(output, logits):
                return pooled_map, weight
    raise ValueError(
        "CAM needs a network that ends in global average pooling of the target layer and one "
        "linear layer, and this one does not: choose another method, for example 'grad-cam'"
    )


def _equal(found: Tensor, expected: Tensor) -> bool:
    """Whether they are the same but for rounding, in the precision that the network ran in."""
    if found.shape != expected.shape:
        return False
    tolerance = max(torch.finfo(found.dtype).eps, torch.finfo(expected.dtype).eps) ** 0.5
    difference = (found.float() - expected.float()).abs().max()
    return bool(difference <= tolerance * expected.float().abs().max())

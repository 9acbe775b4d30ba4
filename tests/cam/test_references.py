"""Maps and measures equal those of two libraries, before normalisation and upsampling."""

import importlib

import numpy as np
import pytest
import torch
from ordinary_networks import NETWORKS, cnn
from small_networks import CIFAR, CONFIGS
from torch import nn
from torchvision.models import get_model

from labutils.cam.faithfulness import blur_fill, deletion_insertion
from labutils.cam.maps import class_activation_maps
from labutils.models.networks import build_model

TORCHCAM = {
    "grad-cam": "GradCAM",
    "layercam": "LayerCAM",
    "xgrad-cam": "XGradCAM",
}  # not Grad-CAM++, see below; it has no HiResCAM
PYTORCH_GRAD_CAM = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgrad-cam": "XGradCAM",
}


def library(name, install):
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"the comparison with {name} needs it: {install}")


@pytest.fixture
def torchcam():
    library("torchcam.metrics", "pip install torchcam")
    return library("torchcam.methods", "pip install torchcam")


@pytest.fixture
def grad_cam():
    return library("pytorch_grad_cam", "pip install --no-deps grad-cam ttach")


def strong_gradients(network, factor):
    """The network with a last layer so much larger: its classes do not change, gradients grow."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= factor
    return network


# a network, the side of its images and a layer: last maps, earlier ones, a flattening head
CASES = {
    "own": (lambda: build_model(CONFIGS["resnet20"], CIFAR, 10), 32, "blocks"),
    "own, earlier": (lambda: build_model(CONFIGS["resnet20"], CIFAR, 10), 32, "blocks.3"),
    "resnet18": (lambda: get_model("resnet18"), 96, "layer4"),
    "resnet18, earlier": (lambda: get_model("resnet18"), 96, "layer3"),
    "flattening": (lambda: cnn(nn.ReLU()), 32, "2"),
    "in place": (NETWORKS["batch-norm"], 32, "2"),
}


@pytest.fixture(params=CASES)
def case(request):
    make, side, layer = CASES[request.param]
    torch.manual_seed(0)
    network = strong_gradients(make(), 300).eval()
    return network, torch.rand(4, 3, side, side), layer


def libraries_maps(grad_cam, name, network, images, layer, classes):
    """Of pytorch-grad-cam, which normalises and resizes in a function of its own."""
    targets = [
        grad_cam.utils.model_targets.ClassifierOutputTarget(class_idx) for class_idx in classes
    ]
    kept = {}
    with getattr(grad_cam, PYTORCH_GRAD_CAM[name])(network, [network.get_submodule(layer)]) as cam:
        whole = cam.get_cam_image
        cam.get_cam_image = lambda *args: kept.setdefault("maps", whole(*args))
        cam(images.clone(), targets)
    network.zero_grad()
    return torch.from_numpy(np.maximum(kept["maps"], 0))


def close(found, expected, tolerance=1e-4):
    """Equal within a share of the largest value: in sums of both signs digits cancel."""
    assert expected.amax() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.amax().item())


@pytest.mark.parametrize("method", TORCHCAM)
def test_equals_torchcam(torchcam, case, method):
    network, images, layer = case
    classes = [1, 2, 3, 1]
    with getattr(torchcam, TORCHCAM[method])(network, layer) as extractor:
        logits = network(images)
        (expected,) = extractor(classes, logits, normalized=False)
    maps = class_activation_maps(
        network, images, method=method, target_layer=layer, class_idx=classes
    )
    close(maps.logits, logits.detach())
    close(maps.values, expected.detach())


@pytest.mark.parametrize("case", ["own", "resnet18"], indirect=True)
def test_cam_equals_torchcam(torchcam, case):
    network, images, layer = case
    head = "head.1" if layer == "blocks" else "fc"
    with torchcam.CAM(network, layer, fc_layer=head) as extractor:
        network(images)
        (expected,) = extractor([1, 2, 3, 1], normalized=False)
    maps = class_activation_maps(
        network, images, method="cam", class_idx=[1, 2, 3, 1], rectify=False
    )
    close(maps.values, expected.detach())


@pytest.mark.parametrize("method", PYTORCH_GRAD_CAM)
def test_equals_pytorch_grad_cam(grad_cam, case, method):
    network, images, layer = case
    classes = [1, 2, 3, 1]
    expected = libraries_maps(grad_cam, method, network, images, layer, classes)
    found = class_activation_maps(
        network, images, method=method, target_layer=layer, class_idx=classes
    )
    # what it adds to its denominators is still felt in the third digit
    close(found.values, expected, 1e-2 if method == "grad-cam++" else 1e-4)


def plus_plus(a, g):
    """Grad-CAM++ as equation 19 has it, number by number, in double precision."""
    weights = torch.zeros(a.shape[:2]).double()
    for image, channel in np.ndindex(*weights.shape):
        activation, gradient = a[image, channel], g[image, channel]
        for value in gradient.flatten():
            if value != 0:
                alpha = value**2 / (2 * value**2 + activation.sum() * value**3)
                weights[image, channel] += alpha * value.relu()
    return (weights[:, :, None, None] * a).sum(1).relu()


def small_case():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    )
    images = torch.rand(2, 3, 8, 8)
    a = network[1](network[0](images)).detach().requires_grad_()
    (g,) = torch.autograd.grad(network[2:](a)[:, 1].sum(), a)
    return network, images, a.detach().double(), g.double()


def test_grad_cam_plus_plus_follows_the_paper():
    network, images, a, g = small_case()
    found = class_activation_maps(
        network, images, method="grad-cam++", target_layer="1", class_idx=1
    )
    close(found.values, plus_plus(a, g).float(), 1e-5)


def test_torchcam_deviates_in_grad_cam_plus_plus(torchcam):
    network, images, a, g = small_case()
    with torchcam.GradCAMpp(network, "1") as extractor:
        (found,) = extractor(1, network(images), normalized=False)
    close(found.detach().double(), ((g**2 * g.relu()).sum((2, 3), keepdim=True) * a).sum(1).relu())
    paper = plus_plus(a, g)
    assert (found / found.amax() - paper / paper.amax()).abs().max() > 0.01


def test_pytorch_grad_cam_deviates_where_gradients_are_small(grad_cam):
    network, images, a, g = small_case()
    strong_gradients(network, 1e-3)
    expected = plus_plus(a, 1e-3 * g)
    found = class_activation_maps(
        network, images, method="grad-cam++", target_layer="1", class_idx=1
    )
    close(found.values, expected.float(), 1e-5)
    theirs = libraries_maps(grad_cam, "grad-cam++", network, images, "1", [1, 1])
    assert (theirs.amax() < 0.5 * expected.amax()).item()


def test_deletion_and_insertion_equal_those_of_torchcam(torchcam):
    from torchcam.metrics import DeletionInsertionMetric

    torch.manual_seed(0)
    network = strong_gradients(build_model(CONFIGS["resnet20"], CIFAR, 10), 20).eval()
    images = torch.rand(3, 3, 32, 32)
    fill = blur_fill(images)
    with torchcam.GradCAM(network, "blocks") as extractor:
        metric = DeletionInsertionMetric(
            extractor, lambda logits: logits.softmax(1), steps=32, baseline=lambda _: fill
        )
        metric.update(images)
        scores = network(images).softmax(1)  # the metric makes its maps of probabilities
        (maps,) = extractor(scores.argmax(1).tolist(), scores)
    pixels = nn.functional.interpolate(maps[:, None], (32, 32), mode="bilinear")[:, 0].detach()
    curves = deletion_insertion(network, images, pixels, fill)
    expected = metric.summary()
    for name, curve in curves._asdict().items():  # the area over the share of pixels
        area = torch.trapezoid(curve, dx=1 / 32, dim=1).mean().item()
        assert area == pytest.approx(expected[f"{name}_auc"], rel=1e-4)
    assert abs(expected["deletion_auc"] - expected["insertion_auc"]) > 1e-3

"""Maps of 1 and of 64 images by the strong network: other libraries and ours; and plain CAM.

The libraries are installed by `pip install --no-deps grad-cam ttach torchcam`: with its
dependencies the first would replace OpenCV.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import compare
from labutils.cam import at_pixels, class_activation_maps
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model

BATCHES, LAYER = (1, 64), "blocks"
REPEATS = {1: 16, 64: 1}  # within one time, which is short for one image


def main() -> None:
    torch.manual_seed(0)
    config = RunConfig(data="cifar10", model="strong", residual=True)
    network = build_model(config, (3, 32, 32), 10).eval()
    for count in BATCHES:
        images, classes = torch.rand(count, 3, 32, 32), [number % 10 for number in range(count)]
        compare_with_libraries(network, images, classes)

    placed = images.contiguous(memory_format=torch.channels_last)  # as labutils places them

    def cam() -> None:
        class_activation_maps(network, images, method="cam", target_layer=LAYER)

    def forward() -> None:
        with torch.no_grad():
            network(placed)

    compare("cam-forward", f"Plain CAM / forward pass, {len(images)} images", cam, forward)


def compare_with_libraries(network: nn.Module, images: Tensor, classes: list[int]) -> None:
    """All give a map at each pixel of each image, resized evenly."""
    count = len(images)

    def ours() -> None:
        for _ in range(REPEATS[count]):
            maps = class_activation_maps(network, images, target_layer=LAYER, class_idx=classes)
            at_pixels(network, images, maps, "resize")  # as they do

    for package, name, way in (
        ("pytorch_grad_cam", "pytorch-grad-cam", pytorch_grad_cam),
        ("torchcam", "torchcam", torchcam),
    ):
        if find_spec(package) is None:
            print(f"NOT MEASURED, its results are left as they are: {name} is not installed")
            continue
        for theirs in way(network, images, classes):
            question = f"Grad-CAM of {count} image{'s' * (count > 1)}, {name} / labutils"
            compare(f"cam-{name}-{count}", question, theirs, ours)


def pytorch_grad_cam(
    network: nn.Module, images: Tensor, classes: list[int]
) -> Iterator[Callable[[], object]]:
    import pytorch_grad_cam as library

    targets = [library.utils.model_targets.ClassifierOutputTarget(each) for each in classes]
    extractor = library.GradCAM(network, [network.get_submodule(LAYER)])

    def theirs() -> None:
        for _ in range(REPEATS[len(images)]):
            extractor(images, targets)

    yield theirs
    extractor.activations_and_grads.release()


def torchcam(
    network: nn.Module, images: Tensor, classes: list[int]
) -> Iterator[Callable[[], object]]:
    from torchcam.methods import GradCAM

    with GradCAM(network, LAYER) as extractor:

        def theirs() -> None:
            for _ in range(REPEATS[len(images)]):
                scores = network(images)
                (maps,) = extractor(classes, scores)
                F.interpolate(maps[:, None], images.shape[2:], mode="bilinear")

        yield theirs


if __name__ == "__main__":
    main()

"""Maps of 64 images by the strong network: pytorch-grad-cam's and ours; CAM and the forward pass.

pytorch-grad-cam is installed by `pip install --no-deps grad-cam ttach`: with its dependencies it
would replace OpenCV.
"""

import torch
from torch import nn

from benchmarks.timing import compare
from labutils.cam import at_pixels, class_activation_maps
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model

BATCH, LAYER = 64, "blocks"


def main() -> None:
    torch.manual_seed(0)
    config = RunConfig(data="cifar10", model="strong", residual=True)
    network = build_model(config, (3, 32, 32), 10).eval()
    images, classes = torch.rand(BATCH, 3, 32, 32), [number % 10 for number in range(BATCH)]
    compare_with_library(network, images, classes)

    placed = images.contiguous(memory_format=torch.channels_last)  # as labutils places them

    def cam() -> None:
        class_activation_maps(network, images, method="cam", target_layer=LAYER)

    def forward() -> None:
        with torch.no_grad():
            network(placed)

    compare("cam-forward", "Plain CAM / forward pass, 64 images", cam, forward)


def compare_with_library(network: nn.Module, images: torch.Tensor, classes: list[int]) -> None:
    """Both give a map at each pixel of each image."""
    try:
        import pytorch_grad_cam as library
    except ImportError:
        print(
            "NOT MEASURED, and benchmarks/results/cam.json left as it is: pytorch-grad-cam is not "
            "installed (pip install --no-deps grad-cam ttach)"
        )
        return
    targets = [library.utils.model_targets.ClassifierOutputTarget(each) for each in classes]
    extractor = library.GradCAM(network, [network.get_submodule(LAYER)])

    def ours() -> None:
        maps = class_activation_maps(network, images, target_layer=LAYER, class_idx=classes)
        at_pixels(network, images, maps)

    question = "Grad-CAM of 64 images, pytorch-grad-cam / labutils"
    compare("cam", question, lambda: extractor(images, targets), ours)
    extractor.activations_and_grads.release()


if __name__ == "__main__":
    main()

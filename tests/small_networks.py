"""Small networks of every family, for tests of what holds for all of them."""

import pytest

from labutils.config.classifier import RunConfig

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)

# Small networks: every family, with and without normalisation, every head and depth form.
CONFIGS = {
    "mlp2": RunConfig(depth=2, width=6),
    "mlp22": RunConfig(depth=22, width=6, residual=True),
    "mlp-norm": RunConfig(depth=6, width=6, norm="batch", dropout=0.2),
    "convnet2": RunConfig(model="convnet", depth=2, width=4),
    "convnet10": RunConfig(model="convnet", depth=10, width=4, residual=True, norm="batch"),
    "convnet-fcn": RunConfig(model="convnet", depth=4, width=4, head="fully-convolutional"),
    "convnet-stride": RunConfig(model="convnet", depth=4, width=4, stem_stride=2),
    "small-cnn": RunConfig(model="small-cnn", width=4, norm="batch"),
    "small-cnn-unpadded": RunConfig(model="small-cnn", width=4, unpadded=True),
    "cnn": RunConfig(model="cnn", width=4),
    "cnn-plain": RunConfig(model="cnn", width=4, norm="none"),
    "resnet20": RunConfig(model="resnet", depth=20, width=4, residual=True),
    "resnet18": RunConfig(model="resnet", depth=18, stages=4, width=4, residual=True),
    "resnet-stride": RunConfig(model="resnet", depth=8, width=4, stem_stride=2),
    "strong": RunConfig(model="strong", width=4, residual=True, init="partial-identity"),
    "strong-plain": RunConfig(model="strong", width=4),
    "resnet-plain": RunConfig(model="resnet", depth=8, width=4, norm="none"),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)

"""Networks as people write them, for 3 x 32 x 32 images and ten classes: no two alike."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

SHAPE, CLASSES = (3, 32, 32), 10


class Functional(nn.Module):
    """Activations as functions, images flattened by `view`: PyTorch's own tutorial."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(16 * 5 * 5, 32), nn.Linear(32, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.view(-1, 16 * 5 * 5))))


class HeadFirst(nn.Module):
    """The head is registered before the body, and a layer is never called."""

    def __init__(self):
        super().__init__()
        self.head, self.unused = nn.Linear(8, CLASSES), nn.Linear(3, 3)
        self.body, self.act = nn.Linear(3072, 8), nn.ReLU()

    def forward(self, x):
        return self.head(self.act(self.body(x.flatten(1))))


class Shared(nn.Module):
    """One layer runs three times; the last one's weight is tied to the first one's."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.act = nn.Linear(3072, 10), nn.Linear(10, 10), nn.ReLU()
        self.last = nn.Linear(10, 10)
        self.last.weight = self.again.weight

    def forward(self, x):
        x = self.act(self.first(x.flatten(1)))
        for _ in range(3):
            x = self.act(self.again(x))
        return self.last(x)


class InPlace(nn.Module):
    """Residual, with everything in place that can be."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.act = (
            nn.Conv2d(3, 4, 3),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.GELU(),
        )
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        x.sub_(0.5)
        x = self.act(self.stem(x))
        x += self.conv(x.clone())
        return self.head(F.relu_(x).mean((2, 3)))


class Patches(nn.Module):
    """A small transformer over patches."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.position = nn.Parameter(torch.zeros(1, 16, 16))
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.head((x + self.mlp(self.norm2(x))).mean(1))


class Recurrent(nn.Module):
    """An LSTM over the rows of the image."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(96, 16, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head(self.lstm(x.transpose(1, 2).flatten(2))[0][:, -1])


class Auxiliary(nn.Module):
    """A second head that runs last, and whose output goes nowhere."""

    def __init__(self):
        super().__init__()
        self.body, self.act = nn.Linear(3072, 8), nn.ReLU()
        self.head, self.second = nn.Linear(8, CLASSES), nn.Linear(8, 2)

    def forward(self, x):
        x = self.act(self.body(x.flatten(1)))
        logits = self.head(x)
        self.other = self.second(x)
        return logits


def cnn(*activations, norm=None):
    """Convolution, norm, activations, average pooling, and a linear layer."""
    head = nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, CLASSES)
    return nn.Sequential(nn.Conv2d(3, 8, 3), norm or nn.Identity(), *activations, *head)


def changed(model, change):
    """The model, after a change in place."""
    change(model)
    return model


def torchvision(name):
    """A network of torchvision, its weights drawn."""
    import torchvision

    return getattr(torchvision.models, name)(num_classes=CLASSES)


NETWORKS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, CLASSES)),
    "functional": Functional,
    "tanh": lambda: cnn(nn.Tanh()),
    "leaky-relu": lambda: cnn(nn.LeakyReLU()),
    "relu-behind-logits": lambda: nn.Sequential(*cnn(nn.Tanh()), nn.ReLU()),
    "dropout": lambda: cnn(nn.Softplus(), nn.Dropout2d()),
    "batch-norm": lambda: cnn(nn.ReLU(inplace=True), norm=nn.BatchNorm2d(8)),
    "group-norm": lambda: cnn(nn.SiLU(), norm=nn.GroupNorm(2, 8)),
    "frozen": lambda: nn.Sequential(cnn(nn.ReLU())[:3].requires_grad_(False), *cnn()[2:]),
    "weight-norm": lambda: changed(cnn(nn.ReLU()), lambda m: weight_norm(m[0])),
    "spectral-norm": lambda: changed(cnn(nn.ReLU()), lambda m: spectral_norm(m[0])),
    "double": lambda: cnn(nn.ReLU()).double(),
    "head-first": HeadFirst,
    "shared": Shared,
    "in-place": InPlace,
    "auxiliary": Auxiliary,
    "patches": Patches,
    "lstm": Recurrent,
    "conv1d": lambda: nn.Sequential(
        nn.Flatten(1, 2), nn.Conv1d(96, 8, 3), nn.ELU(), nn.Flatten(), nn.Linear(240, CLASSES)
    ),
    "conv3d": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)),
        nn.Conv3d(1, 2, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1800, CLASSES),
    ),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(3, 8, 2), nn.Sigmoid(), *cnn()[2:]),
    "no-weight-layers": lambda: nn.Sequential(
        nn.Flatten(), nn.LayerNorm(3072), nn.AdaptiveAvgPool1d(CLASSES)
    ),
    "compiled": lambda: torch.compile(cnn(nn.ReLU()), backend="eager"),
    "scripted": lambda: torch.jit.script(cnn(nn.ReLU())),
    "resnet18": lambda: torchvision("resnet18"),
    "mobilenet_v3_small": lambda: torchvision("mobilenet_v3_small"),
    "squeezenet1_1": lambda: torchvision("squeezenet1_1"),
}

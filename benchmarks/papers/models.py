"""The networks of the four papers, dense; and how many of their parameters a degree of 3 leaves, beside RReg's table.

    python -m benchmarks.papers.models

`make` builds one by name, for images of any size. Every weight is drawn by He's law with the fan-in, as `sparsify`
keeps its scale by the fan-in; biases are zero. Shortcuts of a ResNet that are 1x1 convolutions lie in ``downsample``,
those of a wide ResNet in ``shortcut``.

LeNet-300-100 and LeNet-5 as Alford et al. have them; VGG with BatchNorm as Stewart et al. (RReg) count it; ResNets: He,
Zhang, Ren, Sun, CVPR 2016, laid out as in torchvision; wide ResNets: Zagoruyko, Komodakis, BMVC 2016; MobileNet: Howard
et al., 2017.
"""

import re
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

import expandergraphs_torch as egt

RESNETS = {  # blocks a stage, and whether they are bottlenecks
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
    "resnet152": ((3, 8, 36, 3), True),
}
VGGS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions a stage


def make(name, *, classes=10, channels=3, size=32, width=1.0):
    """Build a network for images of shape (channels, size, size); `width` multiplies the widths of all its layers."""

    def wide(units):
        return max(1, round(units * width))

    kind = {"classes": classes, "channels": channels, "size": size, "wide": wide}
    if name == "lenet-300-100":
        model = lenet_300_100(**kind)
    elif name == "lenet-5":
        model = lenet_5(**kind)
    elif name in VGGS:
        model = vgg(VGGS[name], **kind)
    elif name in RESNETS:
        model = ResNet(*RESNETS[name], **kind)
    elif name == "mobilenet":
        model = mobilenet(**kind)
    elif (match := re.fullmatch(r"wrn-(\d+)-(\d+)", name)) and int(match[1]) % 6 == 4:
        model = wide_resnet(int(match[1]), int(match[2]), **kind)
    else:
        names = ["lenet-300-100", "lenet-5", *VGGS, *RESNETS, "mobilenet", "wrn-D-K with D = 6 n + 4"]
        raise ValueError(f"name must be one of {', '.join(names)}, got {name!r}")
    return initialise(model)


def n_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def initialise(model):
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def convolution(n_in, n_out, side=3, stride=1, groups=1, bias=False):
    return nn.Conv2d(n_in, n_out, side, stride, padding=side // 2, groups=groups, bias=bias)


def normed(*shape, **options):
    """Return a convolution, its BatchNorm and a ReLU."""
    conv = convolution(*shape, **options)
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)]


def pooled():
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


# --- plain networks ---


def lenet_300_100(*, classes, channels, size, wide):
    n_in, first, second = channels * size**2, wide(300), wide(100)
    layers = [nn.Linear(n_in, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(second, classes))


def lenet_5(*, classes, channels, size, wide):
    first, second, hidden = wide(20), wide(50), wide(384)
    layers = []
    for n_in, n_out in ((channels, first), (first, second)):
        layers += [convolution(n_in, n_out, 5, bias=True), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(second * (size // 4) ** 2, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, classes))


def vgg(depths, *, classes, channels, size, wide):
    features, n_in = [], channels
    for depth, units in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            features += normed(n_in, wide(units), bias=True)
            n_in = wide(units)
        if size >= 2:  # nothing is left to pool of smaller images
            features.append(nn.MaxPool2d(2))
            size //= 2
    features, hidden = nn.Sequential(*features, *pooled()), nn.Sequential(nn.Linear(n_in, n_in), nn.ReLU(inplace=True))
    return nn.Sequential(OrderedDict(features=features, hidden=hidden, classifier=nn.Linear(n_in, classes)))


def mobilenet(*, classes, channels, size, wide):
    features = normed(channels, wide(32), stride=1 if size <= 64 else 2)
    n_in = wide(32)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for units, stride in plan:
        features += normed(n_in, n_in, stride=stride, groups=n_in)
        features += normed(n_in, wide(units), side=1)
        n_in = wide(units)
    return nn.Sequential(*features, *pooled(), nn.Linear(n_in, classes))


# --- residual networks ---


class Residual(nn.Module):
    """A block of a ResNet: two convolutions of 3x3, or the bottleneck 1x1, 3x3, 1x1; a ReLU after the addition."""

    def __init__(self, n_in, units, stride, bottleneck):
        super().__init__()
        n_out = 4 * units if bottleneck else units
        shapes = [(n_in, units, 3, stride), (units, n_out, 3)]
        if bottleneck:
            shapes = [(n_in, units, 1), (units, units, 3, stride), (units, n_out, 1)]
        self.depth = len(shapes)
        for k, shape in enumerate(shapes, start=1):
            self.add_module(f"conv{k}", convolution(*shape))
            self.add_module(f"bn{k}", nn.BatchNorm2d(shape[1]))
        self.downsample = None
        if stride > 1 or n_in != n_out:
            self.downsample = nn.Sequential(convolution(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))

    def forward(self, x):
        kept = x if self.downsample is None else self.downsample(x)
        for k in range(1, self.depth + 1):
            x = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(x))
            x = F.relu(x + kept if k == self.depth else x)
        return x


class ResNet(nn.Module):
    def __init__(self, depths, bottleneck, *, classes, channels, size, wide):
        super().__init__()
        n_in = wide(64)
        stem = (3, 1) if size <= 64 else (7, 2)
        self.conv1, self.bn1 = convolution(channels, n_in, *stem), nn.BatchNorm2d(n_in)
        self.maxpool = nn.Identity() if size <= 64 else nn.MaxPool2d(3, 2, padding=1)
        stages = []
        for k, (depth, units) in enumerate(zip(depths, (64, 128, 256, 512), strict=True)):
            blocks = []
            for j in range(depth):
                blocks.append(Residual(n_in, wide(units), 2 if k and not j else 1, bottleneck))
                n_in = (4 if bottleneck else 1) * wide(units)
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.pool, self.fc = nn.Sequential(*pooled()), nn.Linear(n_in, classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(self.pool(self.layer4(self.layer3(self.layer2(self.layer1(x))))))


class PreActivated(nn.Module):
    """A block of a wide ResNet: BatchNorm and ReLU come before each convolution, and before a 1x1 shortcut too."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(n_in), convolution(n_in, n_out, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(n_out), convolution(n_out, n_out)
        self.shortcut = None if n_in == n_out and stride == 1 else convolution(n_in, n_out, 1, stride)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        return kept + self.conv2(F.relu(self.bn2(self.conv1(active))))


def wide_resnet(depth, factor, *, classes, channels, size, wide):
    n_in = wide(16)
    layers = [convolution(channels, n_in)]
    for units, first in ((16, 1), (32, 2), (64, 2)):
        for k in range((depth - 4) // 6):
            layers.append(PreActivated(n_in, wide(factor * units), 1 if k else first))
            n_in = wide(factor * units)
    return nn.Sequential(*layers, nn.BatchNorm2d(n_in), nn.ReLU(inplace=True), *pooled(), nn.Linear(n_in, classes))


# --- RReg's counts ---

PUBLISHED = {  # parameters left on Tiny-ImageNet, in percent
    "vgg16": 0.79, "mobilenet": 19.33, "resnet18": 3.45, "resnet34": 2.33, "resnet50": 14.24, "resnet101": 8.52,
    "resnet152": 6.62, "wrn-28-10": 1.04, "wrn-40-14": 0.65,
}  # fmt: skip


def remaining(model, family, degree, dense=()):
    """Return the percentage of parameters left where the classifier, and the layers named, stay dense."""
    return egt.plan(model, family, degree=degree, exclude=[egt.exclude_last(model), *dense]).remaining


def main():
    print("Parameters left at degree 3, in percent: RReg's table for Tiny-ImageNet, and the same count here.")
    print("VGG16's .79 is what is left of it with 10 classes, or with a sparse classifier (both: mean .85 and .82).\n")
    print("| model | parameters | published | X-Net | RReg | mean of both |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, published in PUBLISHED.items():
        with torch.device("meta"):
            model = make(name, classes=200, size=64)
        dense = ["*downsample*"] if name.startswith("resnet") else []
        left = [remaining(model, family, 3, dense) for family in ("left_regular", "regular")]
        cells = " | ".join(f"{percent:.3f}" for percent in (*left, sum(left) / 2))
        print(f"| {name} | {n_parameters(model):,} | {published:.2f} | {cells} |")


if __name__ == "__main__":
    main()

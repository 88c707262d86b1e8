"""The same networks in PyTorch: a loop over members, and all of them by `torch.func`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain, pairwise

import torch
from torch import nn

from benchmarks.contender import Prepared, UnavailableError
from benchmarks.environment import usable_cores
from benchmarks.memory import Memory, peak_resident_bytes
from benchmarks.workloads import TrainingSet, Workload, load_training_set
from ensemble_jax.options import ImageForm, Model

_CONV_DROPOUT, _DENSE_DROPOUT = 0.25, 0.5
# Filters and kernel size of each convolution, and units of the dense layer.
_STRIPPED_VGG = {
    Model.ST_VGG: ((32, 3), (32, 3), (64, 3), (64, 3), (128, 3), (128, 3), (256, 2), (256, 2)),
    Model.SMALL_ST_VGG: ((32, 3), (32, 3), (64, 3), (64, 3)),
}
_VGG_DENSE = {Model.ST_VGG: 512, Model.SMALL_ST_VGG: 128}
_WIDTH, _DEPTH = 1024, 2
# Blocks of each stage, filters of the first, and how many times as many a block has in the end.
_BLOCKS, _RESNET_WIDTH, _EXPANSION = (3, 4, 6, 3), 64, 4


def make_module(workload: Workload, data: TrainingSet) -> nn.Sequential:
    """The architecture of a workload, for normalised images `[B, C, H, W]`."""
    _, height, width, channels = data.images.shape
    if workload.hidden_units:
        units = [height * width * channels, *workload.hidden_units]
        hidden = [(nn.Linear(*pair), nn.ReLU()) for pair in pairwise(units)]
        output = nn.Linear(units[-1], data.num_classes)
        return nn.Sequential(nn.Flatten(), *chain.from_iterable(hidden), output)
    if workload.model is Model.RESNET50:
        return _resnet(workload.options, channels, data.num_classes)
    if workload.model is Model.FULLY_CONNECTED:
        units = [workload.options.width or _WIDTH] * (workload.options.depth or _DEPTH)
        return _dense_layers([height * width * channels, *units], data.num_classes)
    layers: list[nn.Module] = []
    for i, (features, size) in enumerate(_STRIPPED_VGG[workload.model]):
        # 'same' of an even kernel: the odd row and column of zeros goes after.
        layers += [nn.ZeroPad2d((0, 1, 0, 1))] if size % 2 == 0 else []
        layers += [nn.Conv2d(channels, features, size, padding=(size - 1) // 2), nn.ELU()]
        channels = features
        if i % 2:
            layers += [nn.MaxPool2d(2), nn.Dropout(_CONV_DROPOUT)]
            height, width = height // 2, width // 2
    dense = workload.options.dense or _VGG_DENSE[workload.model]
    return nn.Sequential(
        *layers, *_dense_layers([height * width * channels, dense], data.num_classes)
    )


class TorchLoop:
    """Member after member, step after step, in float32, eagerly.

    Args:
        workload: what is trained.
        channels_last: whether images and kernels lie in memory with their channels last.
    """

    def __init__(self, workload: Workload, *, channels_last: bool) -> None:
        self._workload = workload
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._batches = _Batches(workload, self._format)
        self._members = []
        for member in range(workload.num_members):
            torch.manual_seed(member)
            module = make_module(workload, self._batches.data).to(self._batches.device)
            # PyTorch takes it, but does not declare it.
            module = module.to(memory_format=self._format)  # pyright: ignore[reportCallIssue]
            optimizer = torch.optim.SGD(module.parameters(), lr=workload.learning_rate)
            self._members.append((module, optimizer))

    def prepare(self, steps: int) -> Prepared:
        """There is nothing to compile."""
        return self._batches.prepare(steps)

    def train(self) -> float:
        """Every member for some steps."""
        losses = [self._train_member(member) for member in range(len(self._members))]
        return torch.stack(losses).mean().item()

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return self._batches.memory()

    def _train_member(self, member):
        module, optimizer = self._members[member]
        for images, labels in self._batches.epoch(member):
            loss = nn.functional.cross_entropy(module(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.detach()


class TorchFunc:
    """All members in one call, by `stack_module_state`, `functional_call` and `vmap(grad)`."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._batches = _Batches(workload, torch.contiguous_format)
        modules = []
        for member in range(workload.num_members):
            torch.manual_seed(member)
            modules.append(make_module(workload, self._batches.data).to(self._batches.device))
        params, self._buffers = torch.func.stack_module_state(modules)
        self._params = {name: param.detach() for name, param in params.items()}
        base = copy.deepcopy(modules[0]).to("meta")

        def loss_of(params, buffers, images, labels):
            logits = torch.func.functional_call(base, (params, buffers), (images,))
            return nn.functional.cross_entropy(logits, labels)

        self._step = torch.func.vmap(torch.func.grad_and_value(loss_of), randomness="different")

    def prepare(self, steps: int) -> Prepared:
        """There is nothing to compile."""
        return self._batches.prepare(steps)

    @torch.no_grad()
    def train(self) -> float:
        """All members for some steps, each on its own batches."""
        for images, labels in self._batches.epoch_of_all():
            gradient, losses = self._step(self._params, self._buffers, images, labels)
            for name, param in self._params.items():
                param.sub_(gradient[name], alpha=self._workload.learning_rate)
        return losses.mean().item()

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        return self._batches.memory()


class _Batches:
    """The training set on the device, as normalised batches in random orders."""

    def __init__(self, workload: Workload, memory_format: torch.memory_format) -> None:
        torch.set_num_threads(len(usable_cores()))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cuda":
            # The precision that JAX takes for float32 products there: TF32.
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
        self.data = load_training_set(workload)
        self._workload = workload
        self._size = workload.batch_size
        self._format = memory_format
        images = torch.from_numpy(self.data.images).permute(0, 3, 1, 2)
        self._images = images.contiguous(memory_format=memory_format).to(self.device)
        self._labels = torch.from_numpy(self.data.labels).long().to(self.device)
        self._mean, self._std = (
            torch.from_numpy(values).view(1, -1, 1, 1).to(self.device)
            for values in (self.data.mean, self.data.std)
        )

    def prepare(self, steps: int) -> Prepared:
        """Draw what members read in so many steps; there is nothing to compile."""
        workload = self._workload
        own = workload.member_images(workload.num_members, steps)
        self._own = torch.from_numpy(own).long().to(self.device)
        return Prepared(own.size, workload.num_members, f"on {self.device.type}")

    def epoch(self, member: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The images `[B, C, H, W]` and labels `[B]` of each step, in a new order."""
        for indices in self._order(member).split(self._size):
            yield self._read(indices)

    def epoch_of_all(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The images `[N, B, C, H, W]` and labels `[N, B]` of each step, for each its own order."""
        orders = torch.stack([self._order(member) for member in range(len(self._own))])
        for indices in orders.split(self._size, dim=1):
            yield self._read(indices)

    def _order(self, member):
        own = self._own[member]
        return own[torch.randperm(len(own), device=self.device)]

    def _read(self, indices):
        images = (self._images[indices].float() - self._mean) / self._std
        return images.contiguous(memory_format=self._format), self._labels[indices]

    def memory(self) -> Memory:
        """The peak of this process and of its device."""
        on_device = self.device.type == "cuda"
        return Memory(
            peak_resident_bytes(), torch.cuda.max_memory_allocated() if on_device else None
        )


def _resnet(options, channels, num_classes):
    """ResNet-50 in its form for small images, of any width and depth."""
    if options.form is not ImageForm.CIFAR:
        raise UnavailableError("only the form of ResNet-50 for small images is written here")
    width = options.width or _RESNET_WIDTH
    layers = [*_normalised(channels, width, 3), nn.ReLU()]
    channels = width
    for stage, published in enumerate(_BLOCKS):
        for block in range(options.depth or published):
            strides = 2 if stage > 0 and block == 0 else 1
            layers.append(_Bottleneck(channels, width * 2**stage, strides))
            channels = _EXPANSION * width * 2**stage
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *pool, nn.Linear(channels, num_classes))


class _Bottleneck(nn.Module):
    """Less channels, 3x3, more channels; added to the inputs, or to a linear map of them."""

    def __init__(self, channels, features, strides):
        super().__init__()
        outputs = _EXPANSION * features
        self.inner = nn.Sequential(
            *(*_normalised(channels, features, 1), nn.ReLU()),
            *(*_normalised(features, features, 3, strides), nn.ReLU()),
            *_normalised(features, outputs, 1),
        )
        same = strides == 1 and channels == outputs
        self.outer = nn.Sequential(*([] if same else _normalised(channels, outputs, 1, strides)))

    def forward(self, x):
        return nn.functional.relu(self.outer(x) + self.inner(x))


def _normalised(channels, features, size, strides=1):
    """A convolution and the statistics of its batch."""
    padding = (size - 1) // 2
    return (
        nn.Conv2d(channels, features, size, strides, padding, bias=False),
        nn.BatchNorm2d(features),
    )


def _dense_layers(units, num_classes):
    """Flatten, hidden layers with ELU and dropout, and the output layer."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(units):
        layers += [nn.Linear(before, after), nn.ELU(), nn.Dropout(_DENSE_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(units[-1], num_classes))

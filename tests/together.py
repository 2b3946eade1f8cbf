"""A function run by several processes that train together."""

import torch
import torch.multiprocessing


def run(function, folder, processes=2):
    """Return the result of function(rank) in each process. The function must be importable."""
    torch.multiprocessing.spawn(_work, (function, folder, processes), processes)
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


def _work(rank, function, folder, processes):
    torch.set_num_threads(1)
    place = dict(init_method=f"file://{folder}/meeting", rank=rank, world_size=processes)
    torch.distributed.init_process_group("gloo", **place)
    torch.save(function(rank), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()

#!/usr/bin/env python3
"""Starts the ranks of a job as a launcher would, all on this host.

    launch.py torchrun|slurm RANKS [NAME=VALUE ...] COMMAND ...

Each process has the launcher's variables, and the given ones, whose {rank} is its number. Prints how
the processes ended, but for those that ended well; exits with 1 if there are such. It ends nobody,
as torchrun and srun would: the ranks have to.
"""

import os
import subprocess
import sys


def variables(launcher, rank, ranks):
    if launcher == "slurm":
        return {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NTASKS": ranks, "SLURM_JOB_ID": os.getpid(),
                "SLURM_STEP_ID": 0, "SLURM_STEP_NODELIST": "localhost"}
    return {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks,
            "MASTER_ADDR": "localhost", "MASTER_PORT": 29500, "TORCHELASTIC_RUN_ID": os.getpid()}


def main():
    launcher, ranks, rest = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    given = {}
    while "=" in rest[0]:
        name, _, value = rest.pop(0).partition("=")
        given[name] = value
    processes = []
    for rank in range(ranks):
        own = {**variables(launcher, rank, ranks), **{name: value.format(rank=rank) for name, value in given.items()}}
        processes.append(subprocess.Popen(rest, stdin=subprocess.DEVNULL,
                                          env={**os.environ, **{name: str(value) for name, value in own.items()}}))
    statuses = [process.wait() for process in processes]
    for rank, status in enumerate(statuses):
        if status:
            print(f"rank {rank} ended with " + (f"status {status}" if status > 0 else f"signal {-status}"), flush=True)
    sys.exit(1 if any(statuses) else 0)


if __name__ == "__main__":
    main()

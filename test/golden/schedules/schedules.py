#!/usr/bin/env python3
"""Writes the tables of torch.distributed.pipelining's schedules as CSV.

    schedules.py OUT_DIR [--all]

A file is SCHEDULE-RxL-M.csv: R ranks, L stages on each, M microbatches; one line per rank, an empty cell
waits. Without --all it writes the files that are committed beside this script; with it, every schedule
for up to 8 ranks, 3 stages per rank and 16 microbatches. No process group is needed: a schedule asks its
stages for numbers only.
"""

import itertools
import logging
import os
import sys
from types import SimpleNamespace

import torch.distributed.pipelining.schedules as pipelining

LOOPED = ["Interleaved1F1B", "LoopedBFS", "InterleavedZeroBubble"]
V_SHAPED = ["ZBVZeroBubble", "DualPipeV"]
COMMITTED = [(2, 2, 4), (4, 2, 8), (3, 2, 7), (4, 2, 5), (4, 3, 9), (3, 2, 2), (8, 2, 16)]


def order(name, ranks, stages_per_rank, microbatches):
    """One list of actions per rank; ValueError if the schedule cannot take the shape."""
    count = ranks * stages_per_rank
    stages = [SimpleNamespace(stage_index=local * ranks, num_stages=count, group_size=ranks, group_rank=0,
                              group=None, is_first=local == 0, is_last=False, has_backward=True,
                              submod=None, device="cpu")
              for local in range(stages_per_rank)]
    schedule = pipelining.get_schedule_class(name)(stages, microbatches, loss_fn=lambda *_: None)
    return [schedule.pipeline_order[rank] for rank in range(ranks)]


def shapes(everything):
    if not everything:
        return COMMITTED
    return itertools.product(range(1, 9), range(1, 4), range(1, 17))


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    logging.disable(logging.CRITICAL)
    written = 0
    for name in LOOPED + V_SHAPED:
        for ranks, stages, microbatches in shapes("--all" in sys.argv):
            if name in V_SHAPED and stages != 2:
                continue
            try:
                lists = order(name, ranks, stages, microbatches)
            except ValueError:
                continue
            with open(os.path.join(out, f"{name}-{ranks}x{stages}-{microbatches}.csv"), "w") as file:
                for actions in lists:
                    file.write(",".join("" if action is None else str(action) for action in actions) + "\n")
            written += 1
    print(f"{written} tables")


if __name__ == "__main__":
    main()

"""The pipeline combinations that torchtitan v0.2.2 tests, from a job with its debug model's sections: as
torchtitan_meshes.py, with sequences of 256 and 10 steps. Those that need checkpoints or context parallelism are
left out; pp_dp_tp is there without its checkpoint.

    torchtitan_pipelines.py BUILD_DIR WORK_DIR [NAME ...]
"""

import os
import sys

import torchtitan_meshes
from torchtitan_meshes import SHARD, TENSOR

STEPS, SEQUENCE = 10, 256
DEGREE, SCHEDULE = "--parallelism.pipeline_parallel_degree", "--parallelism.pipeline_parallel_schedule"
LAYERS, CSV = "--parallelism.pipeline_parallel_layers_per_stage", "--parallelism.pipeline_parallel_schedule_csv"

TABLE = {
    "pp_looped_zero_bubble": (4, 1, None, [DEGREE, "4", SCHEDULE, "InterleavedZeroBubble"]),
    "pp_zbv": (2, 1, None, [DEGREE, "2", SCHEDULE, "ZBVZeroBubble"]),
    "pp_1f1b": (2, 1, None, [DEGREE, "2", SCHEDULE, "1F1B", SHARD, "1"]),
    "pp_gpipe": (2, 1, None, [DEGREE, "2", SCHEDULE, "GPipe", SHARD, "1"]),
    "pp_dp_1f1b": (4, 2, None, [DEGREE, "2", SCHEDULE, "1F1B", SHARD, "2"]),
    "pp_dp_1f1b, 4 layers": (4, 2, None, [DEGREE, "2", SCHEDULE, "1F1B", SHARD, "2", LAYERS, "4"]),
    "pp_dp_gpipe": (4, 2, None, [DEGREE, "2", SCHEDULE, "GPipe", SHARD, "2"]),
    "pp_tp": (4, 1, None, [DEGREE, "2", TENSOR, "2"]),
    "pp_dp_tp": (8, 2, None, [DEGREE, "2", SHARD, "2", TENSOR, "2"]),
    "3d_compile": (8, 2, None, ["--compile.enable", DEGREE, "2", SHARD, "2", TENSOR, "2"]),
    "pp_looped_1f1b": (4, 1, None, [DEGREE, "4", SCHEDULE, "Interleaved1F1B"]),
    "pp_looped_1f1b, 1 layer": (4, 1, None, [DEGREE, "4", SCHEDULE, "Interleaved1F1B", LAYERS, "1"]),
    "pp_custom_csv": (2, 1, None, [DEGREE, "2", SCHEDULE, "PipelineScheduleMulti", CSV, "custom_schedule.csv"]),
}


def custom_schedule():
    """torchtitan's tests/assets/custom_schedule.csv: all forwards, then two microbatches of the later stage and the
    same two of the earlier one, each I followed by its W."""
    lines = []
    for first, last in ((0, 2), (1, 3)):
        actions = [f"{stage}F{microbatch}" for stage in (first, last) for microbatch in range(8)]
        for pair in range(0, 8, 2):
            actions += [f"{stage}{half}{microbatch}" for stage in (last, first)
                        for microbatch in (pair, pair + 1) for half in "IW"]
        lines.append(",".join(actions))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.makedirs(sys.argv[2], exist_ok=True)
    with open(os.path.join(sys.argv[2], "custom_schedule.csv"), "w") as file:
        file.write(custom_schedule())
    torchtitan_meshes.main(TABLE, STEPS, SEQUENCE)

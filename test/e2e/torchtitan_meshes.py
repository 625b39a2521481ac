"""The data-, tensor- and hybrid-parallel combinations that torchtitan v0.2.2 tests, from a job with its debug
model's sections: they compile with the same overrides, train, and compute what one rank computes.

    torchtitan_meshes.py BUILD_DIR WORK_DIR [NAME ...]

The names are torchtitan's. A combination's global batch, whatever its mesh, is trained on one rank too; the
losses and gradient norms agree. Sequences are short, bfloat16 compute is off, and tokens are bytes.
"""

import random
import sys

import meshes

STEPS, SEQUENCE = 3, 32
LOSS, NORM = 2e-6, 1e-5

JOB = """\
[job]
dump_folder = "{work}/outputs"
description = "Llama 3 debug training"
print_config = false

[profiling]
enable_profiling = false
save_traces_folder = "profile_trace"
profile_freq = 10
enable_memory_snapshot = false
save_memory_snapshot_folder = "memory_snapshot"

[metrics]
log_freq = 1
disable_color_printing = false
enable_tensorboard = false
save_tb_folder = "tb"
enable_wandb = false

[model]
name = "llama3"
flavor = "debugmodel"

[optimizer]
name = "AdamW"
lr = 8e-4
eps = 1e-8

[lr_scheduler]
warmup_steps = 2
decay_ratio = 0.8
decay_type = "linear"
min_lr_factor = 0.0

[training]
dataset = "c4_test"
dataset_path = "{work}/text.txt"
local_batch_size = 8
seq_len = {sequence}
max_norm = 1.0
steps = {steps}
mixed_precision_param = "float32"

[parallelism]
data_parallel_replicate_degree = 1
data_parallel_shard_degree = -1
fsdp_reshard_after_forward = "default"
tensor_parallel_degree = 1
enable_async_tensor_parallel = false
pipeline_parallel_degree = 1
context_parallel_degree = 1

[activation_checkpoint]
mode = "selective"
selective_ac_option = "2"

[compile]
enable = false
components = ["model", "loss"]

[debug]
seed = 3
"""

SHARD, REPLICATE = "--parallelism.data_parallel_shard_degree", "--parallelism.data_parallel_replicate_degree"
TENSOR = "--parallelism.tensor_parallel_degree"
# Name: ranks, ranks among which the batch is split, rows of a step if accumulated, overrides.
TABLE = {
    "default": (4, 4, None, ["--profiling.enable_profiling", "--metrics.enable_tensorboard"]),
    "1d_compile": (4, 4, None, ["--compile.enable"]),
    "1d_compile_sac_op": (4, 4, None, ["--compile.enable", "--activation_checkpoint.mode", "selective",
                                       "--activation_checkpoint.selective_ac_option", "op"]),
    "2d_eager": (4, 2, None, [TENSOR, "2"]),
    "2d_compile": (4, 2, None, ["--compile.enable", TENSOR, "2"]),
    "2d_asynctp_compile": (4, 2, None, ["--compile.enable", TENSOR, "2",
                                        "--parallelism.enable_async_tensor_parallel"]),
    "optimizer_foreach": (2, 2, None, ["--optimizer.name", "AdamW", "--optimizer.implementation", "foreach"]),
    "ddp": (4, 4, None, [SHARD, "1", REPLICATE, "4"]),
    "hsdp": (4, 4, None, [SHARD, "2", REPLICATE, "2"]),
    "hsdp+tp": (8, 4, None, [SHARD, "2", REPLICATE, "2", TENSOR, "2"]),
    "fsdp_reshard_always": (2, 2, None, ["--parallelism.fsdp_reshard_after_forward", "always"]),
    "gradient_accumulation": (2, 2, 32, ["--training.local_batch_size", "8", "--training.global_batch_size", "32"]),
    "dataloader_kwargs": (2, 2, None, ["--training.dataloader.num_workers", "2", "--training.dataloader.pin_memory",
                                       "--training.dataloader.persistent_workers",
                                       "--training.dataloader.prefetch_factor", "4"]),
}


class Trainer(meshes.Workspace):
    """Trains combinations of a table like the one above."""

    def __init__(self, build, work, table, steps, sequence):
        super().__init__(build, work)
        self.table, self.count = table, steps
        chosen = random.Random(4)
        words = "a red fox saw nine small grey birds over the cold river and ran home before night".split()
        with open(self.path("text.txt"), "w") as text:
            for _ in range(800):
                text.write(" ".join(chosen.choices(words, k=10)) + ".\n")
        with open(self.path("debug_model.toml"), "w") as job:
            job.write(JOB.format(work=self.work, sequence=sequence, steps=steps))
        self.references = {}

    def train(self, ranks, options):
        """[(loss, gradient norm)] by step"""
        self.call("titan-compile", "debug_model.toml", "--world-size", str(ranks), *options, "-o", "model.tbin")
        return [(record["loss"], record["grad_norm"]) for record in self.steps("model.tbin")]

    def reference(self, rows):
        if rows not in self.references:
            self.references[rows] = self.train(1, ["--training.local_batch_size", str(rows)])
        return self.references[rows]

    def compare(self, name):
        ranks, batch_ranks, step_rows, options = self.table[name]
        found, expected = self.train(ranks, options), self.reference(step_rows or 8 * batch_ranks)
        if len(found) != self.count or len(expected) != self.count:
            sys.exit(f"FAILED: {name}: {len(found)} and {len(expected)} steps")
        loss, norm = (max(abs(a[i] - b[i]) / b[i] for a, b in zip(found, expected)) for i in (0, 1))
        good = loss <= LOSS and norm <= NORM and found[-1][0] < found[0][0]
        print(f"{name:22} {ranks} ranks, loss {found[0][0]:.4f} to {found[-1][0]:.4f}, from one rank {loss:.1e}, "
              f"gradient norm {norm:.1e}{'' if good else '   FAILED'}", flush=True)
        return good


def main(table, steps, sequence):
    trainer = Trainer(sys.argv[1], sys.argv[2], table, steps, sequence)
    names = sys.argv[3:] or list(table)
    good = [trainer.compare(name) for name in names]
    if not all(good):
        sys.exit(f"FAILED: {good.count(False)} of {len(good)}")
    print(f"{len(good)} of torchtitan's combinations train")


if __name__ == "__main__":
    main(TABLE, STEPS, SEQUENCE)

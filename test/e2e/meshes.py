"""Trains the debug model on meshes and compares each with one rank.

    meshes.py BUILD_DIR WORK_DIR [--layers N] [--poison MESH] MESH ...
    meshes.py BUILD_DIR WORK_DIR --poison shard3 --all      every mesh of the list below: minutes

20 steps of 24 rows of 64 tokens, whatever the mesh; the one rank recomputes nothing. Per mesh: the losses and gradient norms, the parameters
before the first step (bit-equal: a step with a rate of 0 leaves them alone), and the parameters after the
last. Prints the deviations, and ends with 1 if one is above its bound. A mesh named by --poison is trained
once more in memory that holds NaN until it is written: its losses are bit-equal. Without --layers the
model has the debug model's six.
"""

import argparse
import array
import json
import math
import os
import random
import re
import struct
import subprocess
import sys

STEPS, ROWS = 20, 24
# Bounds on relative deviations from one rank; a tensor's is the norm of the difference over the norm.
LOSS, NORM, TENSOR = 2e-6, 1e-5, 1e-5

JOB = """\
[model]
name = "llama3"
flavor = "debugmodel"
n_layers = {layers}

[training]
dataset_path = "{work}/text.txt"
seq_len = 64
steps = {steps}
mixed_precision_param = "float32"

[optimizer]
lr = 1e-3

[lr_scheduler]
warmup_steps = 2

[metrics]
log_freq = 1

[debug]
seed = 11
"""

REPLICATE, SHARD = "data_parallel_replicate_degree", "data_parallel_shard_degree"
TENSOR_DEGREE, SEQUENCE = "tensor_parallel_degree", "enable_sequence_parallel"
RESHARD, REDUCTION = "fsdp_reshard_after_forward", "gradient_reduction"


class Mesh:
    """Degrees, more parallelism options, the batches that make up one step, activation_checkpoint (by
    default torchtitan's: every second layer is recomputed), for its mode auto with the memory of a
    device, and the size of the vocabulary."""

    def __init__(self, replicate=1, shard=1, tp=1, batches=1, recompute={}, device_memory=None, vocabulary=2048, **options):
        self.recompute, self.vocabulary = recompute, vocabulary
        self.device_memory = device_memory
        self.world = replicate * shard * tp
        self.rows = ROWS // (replicate * shard * batches)
        self.options = {REPLICATE: replicate, SHARD: shard, TENSOR_DEGREE: tp, **options}

    def compile_options(self):
        result = ["--world-size", str(self.world), "--training.local_batch_size", str(self.rows),
                  "--model.vocab_size", str(self.vocabulary)]
        for key, value in self.options.items():
            if isinstance(value, bool):
                result.append(f"--parallelism.{key}" if value else f"--parallelism.no_{key}")
            else:
                result += [f"--parallelism.{key}", str(value)]
        for key, value in self.recompute.items():
            result += [f"--activation_checkpoint.{key}", str(value)]
        return result + (["--device-memory", self.device_memory] if self.device_memory else [])


def budget(share):
    return {"mode": "memory_budget", "memory_budget": share}


def limit(memory):
    return {"mode": "memory_limit", "memory_limit": memory}


# The limits lie between what two layers need without recomputation and the least.
MESHES = {
    "shard2": Mesh(shard=2),
    "shard3": Mesh(shard=3),
    "shard4": Mesh(shard=4),
    "shard8": Mesh(shard=8),
    "shard4-always": Mesh(shard=4, **{RESHARD: "always"}),
    "shard4-never": Mesh(shard=4, **{RESHARD: "never"}),
    "replicate4": Mesh(replicate=4),
    "hybrid2x2": Mesh(replicate=2, shard=2),
    "tp2": Mesh(tp=2),
    "tp4": Mesh(tp=4),
    "tp8": Mesh(tp=8),
    "tp2-whole": Mesh(tp=2, **{SEQUENCE: False}),
    "tp4-whole": Mesh(tp=4, **{SEQUENCE: False}),
    "tp8-whole": Mesh(tp=8, **{SEQUENCE: False}),
    "tp4-logits": Mesh(tp=4, disable_loss_parallel=True),
    # Vocabularies that tp does not divide.
    "tp2-padded": Mesh(tp=2, vocabulary=2047),
    "tp4-padded": Mesh(tp=4, vocabulary=2047),
    "shard3-tp2-padded": Mesh(shard=3, tp=2, vocabulary=2047),
    "tp4-logits-padded": Mesh(tp=4, vocabulary=2045, disable_loss_parallel=True),
    "shard2-tp2": Mesh(shard=2, tp=2),
    "2x2x2": Mesh(replicate=2, shard=2, tp=2),
    "shard2-accumulate": Mesh(shard=2, batches=2),
    "shard2-once": Mesh(shard=2, batches=2, **{REDUCTION: "per_step"}),
    "shard2-never": Mesh(shard=2, batches=2, **{RESHARD: "never"}),
    "shard3-never": Mesh(shard=3, batches=2, **{RESHARD: "never"}),
    "hybrid-tp-once": Mesh(replicate=2, shard=2, tp=2, batches=2, **{REDUCTION: "per_step", RESHARD: "never"}),
    "full": Mesh(recompute={"mode": "full"}),
    "op": Mesh(recompute={"mode": "selective", "selective_ac_option": "op"}),
    "budget0": Mesh(recompute=budget(0)),
    "budget50": Mesh(recompute=budget(0.5)),
    "budget80": Mesh(recompute=budget(0.8)),
    "shard2-full": Mesh(shard=2, recompute={"mode": "full"}),
    "shard2-tp2-full": Mesh(shard=2, tp=2, recompute={"mode": "full"}),
    "shard2-tp2-budget50": Mesh(shard=2, tp=2, recompute=budget(0.5)),
    "limit": Mesh(recompute=limit("85000KiB")),
    "auto": Mesh(recompute={"mode": "auto"}, device_memory="90000KiB"),
    "shard2-tp2-limit": Mesh(shard=2, tp=2, recompute=limit("28000KiB")),
    "tp2-whole-budget0": Mesh(tp=2, recompute=budget(0), **{SEQUENCE: False}),
}


def limit_of(options):
    """The bytes that a rank may have by these options of titan-compile; infinite without a limit."""
    for key, value in zip(options, options[1:]):
        if key in ("--activation_checkpoint.memory_limit", "--device-memory"):
            return int(value.removesuffix("KiB")) * 1024
    return math.inf


def write_text(path):
    words = "the quick brown fox jumps over a lazy dog while seven wizards quietly mix paints".split()
    chosen = random.Random(1)
    with open(path, "w") as text:
        for _ in range(1000):
            text.write(" ".join(chosen.choices(words, k=12)) + ".\n")


def read_tensors(path):
    """{name: float array} of a float32 safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            tensors[name] = array.array("f")
            tensors[name].frombytes(data[slice(*entry["data_offsets"])])
    return tensors


def deviation(values, reference):
    """Relative L2 distance; infinite where lengths differ or a value is not finite."""
    if len(values) != len(reference):
        return math.inf
    square = sum((a - b) ** 2 for a, b in zip(values, reference))
    if not math.isfinite(square):
        return math.inf
    norm = sum(b * b for b in reference)
    return math.sqrt(square / norm) if norm else (0.0 if square == 0 else math.inf)


def worst(pairs):
    """(largest deviation, where) of (where, deviation) pairs; nothing to compare is infinite."""
    return max(((value if value == value else math.inf, where) for where, value in pairs),
               default=(math.inf, "nothing was compared"))


class Workspace:
    """A folder, and the tools that run in it."""

    def __init__(self, build, work):
        self.bin = os.path.join(os.path.abspath(build), "bin")
        self.work = os.path.abspath(work)
        os.makedirs(self.work, exist_ok=True)

    def path(self, name):
        return os.path.join(self.work, name)

    def call(self, tool, *arguments):
        command = [os.path.join(self.bin, tool), *arguments]
        done = subprocess.run(command, cwd=self.work, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"FAILED: exit code {done.returncode} of {' '.join(command)}\n{done.stderr}")
        return done.stdout

    def steps(self, program, *options):
        """What titan-run logs of each step."""
        metrics = self.path("metrics.jsonl")
        if os.path.exists(metrics):
            os.remove(metrics)
        self.call("titan-run", program, "--metrics.jsonl", metrics, *options)
        with open(metrics) as lines:
            records = [json.loads(line) for line in lines if line.strip()]
        return [record for record in records if "loss" in record]


class Trainer(Workspace):
    def __init__(self, build, work, layers):
        super().__init__(build, work)
        self.rows = ROWS
        write_text(self.path("text.txt"))
        with open(self.path("job.toml"), "w") as job:
            job.write(JOB.format(work=self.work, layers=layers, steps=STEPS))

    def train(self, program, *options):
        """The metrics of a run, by step."""
        return self.steps(program, "--training.global_batch_size", str(self.rows), *options)

    def dumped(self, program, *options):
        """(metrics, parameters after them)"""
        path = self.path("parameters.safetensors")
        if os.path.exists(path):
            os.remove(path)
        return self.train(program, "--debug.dump_parameters", path, *options), read_tensors(path)

    def run(self, name, mesh, poison):
        """(metrics, initial parameters, final parameters) of a mesh."""
        program = self.path(name + ".tbin")
        options = mesh.compile_options()
        report = self.call("titan-compile", "job.toml", "--report", *options, "-o", program)
        memory = report[report.index("memory of one rank"):]
        planned = int(re.search(r"^  total +([\d,]+)", memory, re.M)[1].replace(",", ""))
        if planned > limit_of(options):
            sys.exit(f"FAILED: {name}: a rank has {planned} bytes, allowed are {limit_of(options)}")
        _, initial = self.dumped(program, "--training.steps", "1", "--optimizer.lr", "0")
        metrics, final = self.dumped(program)
        if poison:
            poisoned = [record["loss"] for record in self.train(program, "--poison")]
            if poisoned != [record["loss"] for record in metrics]:
                sys.exit(f"FAILED: {name}: the program reads memory that it has not written: {poisoned}")
            print(f"{name:18} the losses with poisoned memory are bit-equal", flush=True)
        return metrics, initial, final


def measure(result, reference):
    """([(quantity, bound, (largest deviation, where))], whether the initial parameters are bit-equal)"""
    (metrics, initial, final), (expected, expected_initial, expected_final) = result, reference

    def series(key):
        if len(metrics) != STEPS:
            return math.inf, f"{len(metrics)} steps"
        return worst((f"step {b['step']}", abs(a[key] - b[key]) / abs(b[key]))
                     for a, b in zip(metrics, expected))

    rows = [("loss", LOSS, series("loss")), ("gradient norm", NORM, series("grad_norm")),
            ("parameters", TENSOR,
             worst((n, deviation(final.get(n, ()), expected_final[n])) for n in expected_final))]
    return rows, initial == expected_initial and final.keys() == expected_final.keys()


def compare(name, result, reference):
    """Prints one mesh's deviations; True if they are within their bounds."""
    rows, equal = measure(result, reference)
    ok = equal and all(value <= bound for _, bound, (value, _) in rows)
    text = ", ".join(f"{quantity} {value:.1e} ({where})" for quantity, _, (value, where) in rows)
    print(f"{name:18} {text}, initial parameters {'bit-equal' if equal else 'DIFFER'}"
          f"{'' if ok else '   FAILED'}", flush=True)
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("work")
    parser.add_argument("meshes", nargs="*", metavar="MESH")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--poison", action="append", default=[], choices=MESHES)
    arguments = parser.parse_intermixed_args()
    names = list(MESHES) if arguments.all else arguments.meshes
    if not names or not MESHES.keys() >= set(names):
        parser.error("meshes are " + ", ".join(MESHES))
    trainer = Trainer(arguments.build, arguments.work, arguments.layers)
    references = {size: trainer.run("one", Mesh(recompute={"mode": "none"}, vocabulary=size), False)
                  for size in sorted({MESHES[name].vocabulary for name in names})}
    good = [compare(name, trainer.run(name, MESHES[name], name in arguments.poison),
                    references[MESHES[name].vocabulary]) for name in names]
    if not all(good):
        sys.exit(f"FAILED: {good.count(False)} of {len(good)} meshes")
    print(f"{len(good)} meshes train as one rank does")


if __name__ == "__main__":
    main()

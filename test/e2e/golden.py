#!/usr/bin/env python3
"""Trains a model of test/golden with titan-compile and titan-run, and compares with PyTorch's float64.

    golden.py BUILD_DIR NAME [WORK_DIR [bfloat16] [SETTING=VALUE ...] [KEY=DEGREE ...]]    NAME is untied or tied

Settings are target, of titan-compile; schedule, of a pipeline; steps, fewer than 20 where these would take too
long; phase: with compile, only what needs the compiler is done, with train only what does not, on WORK_DIR of
the other; and launcher: torchrun, slurm (both by launch.py) or mpirun, whose processes are the ranks.

KEY is replicate, shard, tp or pp: degrees of data, tensor and pipeline parallelism; the reference's rows are divided
among the data ranks. Sequence parallelism is off, since the references' rows divide by no tensor degree.
With bfloat16, forward and backward compute in that: the bounds are wider, and the losses are also
compared with those of the interpreter, which rounds every result likewise.
Prints a table of the largest deviations and their bounds; exits with 1 if one is exceeded. WORK_DIR
keeps the job, the program and what titan-run wrote (a temporary folder without it). Needs nothing but
Python itself.
"""

import array
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")
STEPS = 20
# Bounds on relative deviations from float64; a tensor's is the norm of the difference over the norm.
LOSS, NORM, LEARNING_RATE, TENSOR = 2e-6, 1e-5, 1e-6, 1e-5
# With bfloat16; PyTorch's own losses in it are up to 4e-3 off, its norms 1.5e-2.
LOSS_16, NORM_16, TYPED_LOSS_1, TYPED_LOSS = 8e-3, 3e-2, 1e-3, 4e-3

JOB = """\
[model]
name = "llama3"
flavor = "debugmodel"
dim = {dim}
n_layers = {n_layers}
n_heads = {n_heads}
n_kv_heads = {n_kv_heads}
ffn_hidden_dim = {ffn}
vocab_size = {vocab}
tied_embeddings = {tied}
norm_eps = 1e-5
rope_theta = 500000.0

[training]
local_batch_size = {batch}
seq_len = {seq}
loss_chunks = 8
mixed_precision_param = "{precision}"
max_norm = {max_norm}
steps = {steps}

[optimizer]
name = "AdamW"
lr = {lr}
beta1 = {beta1}
beta2 = {beta2}
eps = {eps}
weight_decay = {weight_decay}

[lr_scheduler]
warmup_steps = {warmup_steps}
decay_ratio = {decay_ratio}
decay_type = "{decay_type}"
min_lr_factor = {min_lr_factor}
total_steps = {steps}

[metrics]
log_freq = 1
"""


KEYS = {
    "replicate": "data_parallel_replicate_degree",
    "shard": "data_parallel_shard_degree",
    "tp": "tensor_parallel_degree",
    "pp": "pipeline_parallel_degree",  # in microbatches of 1 row
}


def parse_settings(arguments):
    """({setting: value}, the other arguments)"""
    settings = {"target": "cpu", "schedule": "1F1B", "steps": STEPS, "phase": "all", "launcher": ""}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in settings:
            settings[key] = type(settings[key])(value)
    return settings, [a for a in arguments if a.partition("=")[0] not in settings]


def parse_mesh(arguments):
    """{key of KEYS: degree} of KEY=DEGREE arguments."""
    mesh = dict.fromkeys(KEYS, 1)
    for argument in arguments:
        key, _, degree = argument.partition("=")
        if key not in mesh or not degree.isdigit() or int(degree) < 1:
            sys.exit(f"error: '{argument}' is not KEY=DEGREE; keys are {', '.join(KEYS)}")
        mesh[key] = int(degree)
    return mesh


def compile_options(mesh):
    options = ["--world-size", str(math.prod(mesh.values())), "--parallelism.no_enable_sequence_parallel"]
    for key, degree in mesh.items():
        options += ["--parallelism." + KEYS[key], str(degree)]
    return options


def write_job(reference, mesh, precision, path):
    """The job file for a model of test/golden; every setting comes from its NAME.json."""
    values = {**reference["config"], **reference["optimizer"], "steps": STEPS}
    ranks = mesh["replicate"] * mesh["shard"]
    if values["batch"] % ranks:
        sys.exit(f"error: {values['batch']} rows on {ranks} data ranks")
    values["batch"] //= ranks
    values["beta1"], values["beta2"] = values["betas"]
    values["precision"] = precision
    values["tied"] = str(values["tied"]).lower()
    with open(path, "w") as file:
        file.write(JOB.format(**values))


def read_safetensors(path):
    """{name: array of float or double} of a safetensors file's F32 and F64 tensors."""
    types = {"F32": "f", "F64": "d"}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        values = array.array(types[entry["dtype"]])
        begin, end = entry["data_offsets"]
        values.frombytes(data[begin:end])
        tensors[name] = values
    return tensors


def read_metrics(path):
    """{step: its object} of a metrics file."""
    with open(path) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    return {line["step"]: line for line in lines if "loss" in line}


def relative(value, reference):
    """|value - reference| / |reference|; infinite where it is not a number."""
    deviation = abs(value - reference) / abs(reference)
    return math.inf if math.isnan(deviation) else deviation


def tensor_deviation(values, reference):
    """Relative L2 distance; infinite where lengths differ or a value is not finite."""
    if len(values) != len(reference):
        return math.inf
    square = sum((a - b) ** 2 for a, b in zip(values, reference))
    deviation = math.sqrt(square / sum(b * b for b in reference))
    return deviation if math.isfinite(deviation) else math.inf


def run(command):
    print("$ " + " ".join(command), flush=True)
    try:
        status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        sys.exit(f"error: cannot run {command[0]}: {error.strerror}")
    if status != 0:
        sys.exit(f"error: exit status {status} of {command[0]}")


def launch(launcher, ranks):
    """What stands before a command whose ranks are processes."""
    if launcher == "mpirun":
        # The sanitizers' leak check would report what Open MPI never frees.
        return ["env", "ASAN_OPTIONS=detect_leaks=0", "mpirun", "--allow-run-as-root", "--oversubscribe", "-n",
                str(ranks)]
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
    own_gpu = ["CUDA_VISIBLE_DEVICES={rank}"] if launcher == "slurm" else []  # as --gpus-per-task=1 does
    return [sys.executable, script, launcher, str(ranks), *own_gpu] if launcher else []


def train(build, name, work, steps, *options, launcher=()):
    """Runs `steps` steps; returns (metrics, gradients of the last step, parameters after it)."""
    names = {"metrics": "jsonl", "gradients": "safetensors", "parameters": "safetensors"}
    out = {kind: os.path.join(work, f"{kind}{steps}.{suffix}") for kind, suffix in names.items()}
    for path in out.values():
        if os.path.exists(path):
            os.remove(path)
    run([
        *launcher, os.path.join(build, "bin", "titan-run"), os.path.join(work, "model.tbin"),
        "--training.dataset_path", os.path.join(GOLDEN, name + ".batches.safetensors"),
        "--checkpoint.initial_load_path", os.path.join(GOLDEN, name + ".init.safetensors"),
        "--training.steps", str(steps), "--lr_scheduler.total_steps", str(STEPS),
        "--debug.dump_gradients", out["gradients"], "--debug.dump_parameters", out["parameters"],
        "--metrics.jsonl", out["metrics"], *options,
    ])
    return (read_metrics(out["metrics"]), read_safetensors(out["gradients"]), read_safetensors(out["parameters"]))


class Table:
    """The worst deviation of each quantity, and whether all are within their bounds."""

    def __init__(self):
        self.failed = False
        print(f"{'quantity':<28}{'worst':>12}{'bound':>12}  where")

    def row(self, quantity, bound, deviations):
        """deviations: {where: relative deviation}; an empty one is a failure."""
        where = max(deviations, key=deviations.get, default="nothing was compared")
        worst = deviations.get(where, math.inf)
        ok = worst <= bound
        self.failed |= not ok
        print(f"{quantity:<28}{worst:>12.2e}{bound:>12.0e}  {where}{'' if ok else '   FAILED'}")

    def steps(self, quantity, key, bound, metrics, reference):
        deviations = {}
        for expected in reference:
            step = expected["step"]
            found = metrics.get(step, {}).get(key, math.nan)
            deviations[f"step {step}"] = relative(found, expected[key])
        self.row(quantity, bound, deviations)

    def tensors(self, quantity, prefix, values, reference):
        expected = {n[len(prefix) :]: t for n, t in reference.items() if n.startswith(prefix)}
        deviations = {n: tensor_deviation(values.get(n, ()), t) for n, t in expected.items()}
        deviations.update({f"{n} (not in the reference)": math.inf for n in values.keys() - expected.keys()})
        self.row(quantity, TENSOR, deviations)


def typed_losses(build, name, work, job, compiles):
    """The losses of the interpreter on one rank, each result rounded to its element type."""
    cached = os.path.join(work, "typed.json")
    if compiles:
        program = os.path.join(work, "step.mlir")
        run([os.path.join(build, "bin", "titan-compile"), job, "--training.local_batch_size",
             str(read_reference(name)["config"]["batch"]), "--compile-to=step", "-o", program])
        out = subprocess.run([os.path.join(build, "bin", "titan-check"), program, "--golden", os.path.join(GOLDEN, name),
                              "--mode", "typed", "--tolerance", "1"], check=True, stdout=subprocess.PIPE, text=True).stdout
        matches = re.findall(r"^step (\d+): loss ([^,]+)", out, re.MULTILINE)
        with open(cached, "w") as file:
            json.dump([{"step": int(step), "loss": float(loss)} for step, loss in matches], file)
    with open(cached) as file:
        return json.load(file)


def read_reference(name):
    with open(os.path.join(GOLDEN, name + ".json")) as file:
        return json.load(file)


def compare(build, name, work, mesh, precision, settings):
    """Compiles, trains and prints the table; True if every deviation is within its bound."""
    reference = read_reference(name)
    job = os.path.join(work, "job.toml")
    compiles = settings["phase"] != "train"
    if compiles:
        write_job(reference, mesh, precision, job)
        run([os.path.join(build, "bin", "titan-compile"), job, *compile_options(mesh), "--target", settings["target"],
             "--parallelism.pipeline_parallel_schedule", settings["schedule"], "-o", os.path.join(work, "model.tbin")])
    typed = typed_losses(build, name, work, job, compiles) if precision == "bfloat16" else []
    if settings["phase"] == "compile":
        return True
    steps = settings["steps"]
    expected = reference["float64"][:steps]
    launcher = launch(settings["launcher"], math.prod(mesh.values()))
    first_metrics, gradients, first = train(build, name, work, 1, launcher=launcher)
    metrics, last = first_metrics, {}
    # On GPUs the gradient of attention adds in any order, but for runs that ask for more.
    repeatable = ["--debug.deterministic"] if precision == "bfloat16" and steps > 1 else []
    if steps > 1:
        metrics, _, last = train(build, name, work, steps, *repeatable, launcher=launcher)

    table = Table()
    if precision == "bfloat16":
        table.steps("loss", "loss", LOSS_16, metrics, expected)
        table.steps("gradient norm", "grad_norm", NORM_16, metrics, expected)
        table.steps("loss 1, interpreter", "loss", TYPED_LOSS_1, metrics, typed[:1])
        table.steps("losses, interpreter", "loss", TYPED_LOSS, metrics, typed[:steps])
        poisoned, _, _ = train(build, name, work, steps, "--poison", *repeatable, launcher=launcher)
        table.steps("losses, poisoned memory", "loss", 0, poisoned, list(metrics.values()))
        return not table.failed
    tensors = read_safetensors(os.path.join(GOLDEN, name + ".float64.safetensors"))
    table.steps("loss, run of 1", "loss", LOSS, first_metrics, expected[:1])
    table.steps(f"loss, run of {steps}", "loss", LOSS, metrics, expected)
    table.steps("gradient norm", "grad_norm", NORM, metrics, expected)
    table.steps("learning rate", "lr", LEARNING_RATE, metrics, expected)
    table.tensors("gradients of step 1", "grad.", gradients, tensors)
    table.tensors("parameters after 1 step", "step1.", first, tensors)
    if steps == STEPS:
        table.tensors("parameters after 20 steps", "step20.", last, tensors)
    return not table.failed


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in ("untied", "tied"):
        sys.exit(__doc__)
    build, name = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as temporary:
        work = sys.argv[3] if len(sys.argv) > 3 else temporary
        os.makedirs(work, exist_ok=True)
        rest = sys.argv[4:]
        precision = "bfloat16" if "bfloat16" in rest[:1] else "float32"
        settings, rest = parse_settings(rest[precision == "bfloat16" :])
        ok = compare(build, name, work, parse_mesh(rest), precision, settings)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()

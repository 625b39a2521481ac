"""The held-out loss of titan-run against references.

    evaluation.py BUILD_DIR GOLDEN_DIR WORK_DIR

Prints one line per comparison; the first that fails ends the script with 1. A learning rate of 0 keeps the
initial parameters, so that the evaluation after the first step sees what that step saw.
"""

import json
import os
import random
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from golden import JOB  # noqa: E402

BUILD, GOLDEN, WORK = (os.path.abspath(path) for path in sys.argv[1:4])
COMPILE, RUN = (os.path.join(BUILD, "bin", name) for name in ("titan-compile", "titan-run"))
VALIDATION = "\n[validation]\nenable = true\nlocal_batch_size = {rows}\nseq_len = {seq}\nfreq = 1\nsteps = {steps}\n"
# Of float32 against float64, and of float32 against float32 in another order; of bfloat16 against float64.
BOUND = 2e-6
BOUND_16 = 8e-3


def call(*arguments):
    done = subprocess.run(arguments, cwd=WORK, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{done.stderr}")


def compare(name, value, reference, bound=BOUND):
    deviation = abs(value - reference) / abs(reference)
    if not deviation <= bound:
        sys.exit(f"{name}: held-out loss {value}, expected {reference}")
    print(f"{name}: held-out loss within {deviation:.1e}", flush=True)


def losses(job, data, held_out, *options, compile_options=()):
    """The loss of the first step and the held-out loss after it."""
    call(COMPILE, job, "-o", "model.tbin", *compile_options)
    call(RUN, "model.tbin", "--training.dataset_path", data, "--validation.dataset_path", held_out,
         "--training.steps", "1", "--optimizer.lr", "0", "--metrics.jsonl", "metrics.jsonl", *options)
    with open(os.path.join(WORK, "metrics.jsonl")) as lines:
        step, evaluation = (json.loads(line) for line in lines)
    return step["loss"], evaluation["validation_loss"]


def write_job(text, rows, seq, steps):
    with open(os.path.join(WORK, "job.toml"), "w") as job:
        job.write(text + VALIDATION.format(rows=rows, seq=seq, steps=steps))


def golden(name, precision="float32", bound=BOUND):
    with open(os.path.join(GOLDEN, name + ".json")) as file:
        reference = json.load(file)
    values = {**reference["config"], **reference["optimizer"], "steps": 20, "precision": precision}
    values["beta1"], values["beta2"] = values["betas"]
    values["tied"] = str(values["tied"]).lower()
    write_job(JOB.format(**values), values["batch"], values["seq"], 1)
    batches = os.path.join(GOLDEN, name + ".batches.safetensors")
    _, held_out = losses("job.toml", batches, batches, "--checkpoint.initial_load_path",
                         os.path.join(GOLDEN, name + ".init.safetensors"))
    compare(name + (" in bfloat16" if precision == "bfloat16" else ""), held_out,
            reference["float64"][0]["loss"], bound)


def write_batches(path, shape, ignored):
    """Random tokens and labels, of which a share is ignored."""
    chosen = random.Random(3)
    count = shape[0] * shape[1] * shape[2]
    tokens = [chosen.randrange(2048) for _ in range(count)]
    labels = [-100 if chosen.random() < ignored else chosen.randrange(2048) for _ in range(count)]
    header = {name: {"dtype": "I32", "shape": shape, "data_offsets": [i * 4 * count, (i + 1) * 4 * count]}
              for i, name in enumerate(("tokens", "labels"))}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(WORK, path), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + struct.pack(f"<{2 * count}i", *tokens, *labels))


def debug_model(name, ignored, *compile_options):
    """Training on 8 rows at once; evaluation takes the same rows in two batches of 4."""
    with open(os.path.join(os.path.dirname(GOLDEN), "execution", "Inputs", "debugmodel.toml")) as file:
        write_job(file.read() + "\n[debug]\nseed = 5\n", 4, 48, 2)
    write_batches("training.safetensors", [1, 8, 48], ignored)
    write_batches("heldout.safetensors", [2, 4, 48], ignored)
    compare(name, *reversed(losses("job.toml", "training.safetensors", "heldout.safetensors",
                                   compile_options=compile_options)))


def main():
    os.makedirs(WORK, exist_ok=True)
    golden("untied")
    golden("tied")
    golden("tied", "bfloat16", BOUND_16)
    debug_model("debugmodel", 0)
    debug_model("ignored labels", 0.3)
    debug_model("pipeline", 0.3, "--world-size", "4", "--parallelism.pipeline_parallel_degree", "2",
                "--parallelism.pipeline_parallel_schedule", "ZBVZeroBubble", "--parallelism.tensor_parallel_degree", "2")
    debug_model("mesh", 0.3, "--world-size", "8", "--parallelism.data_parallel_replicate_degree", "2",
                "--parallelism.tensor_parallel_degree", "2", "--training.local_batch_size", "2",
                "--validation.local_batch_size", "1")


if __name__ == "__main__":
    main()

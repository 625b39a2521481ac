#!/usr/bin/env python3
"""The debug model's training on a GPU against the same on a CPU.

    debug_losses.py compile BUILD WORK PRECISION SOURCES [--SECTION.KEY=VALUE ...]
    debug_losses.py train BUILD WORK PRECISION

compile makes WORK: the program for the GPU, a batch that three steps repeat, and what the CPU's program has
of these. SOURCES is the repository. train runs the GPU's program on them and prints a table of the largest
deviations; it exits with 1 if one is above its bound, and needs nothing but Python itself.
"""

import array
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import golden  # noqa: E402

STEPS = 3
# Of losses, of gradient norms, and of how far losses fall, which is what the optimizer and its learning rate
# decide. In float32 both deviate from what is right by up to golden.py's bounds; in bfloat16 the CPU's own numbers
# deviate by up to 3.7e-4 and 1.8e-3 from those in float32.
BOUNDS = {"float32": (2 * golden.LOSS, 2 * golden.NORM, 1e-3), "bfloat16": (1e-3, 1e-2, 5e-2)}


def write_batch(path, rows, seq, vocabulary):
    """A file of STEPS equal batches: losses fall as far as the optimizer is right."""
    random.seed(1)
    tokens = array.array("i", (random.randrange(vocabulary) for _ in range(rows * (seq + 1))))
    data = {"tokens": array.array("i"), "labels": array.array("i")}
    for row in range(rows):
        begin = row * (seq + 1)
        data["tokens"] += tokens[begin:begin + seq]
        data["labels"] += tokens[begin + 1:begin + seq + 1]
    header, end = {}, 0
    for name, values in data.items():
        size = STEPS * len(values) * values.itemsize
        header[name] = {"dtype": "I32", "shape": [STEPS, rows, seq], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in data.values():
            file.write(STEPS * values.tobytes())


def train(build, program, work, device):
    """{step: its metrics}"""
    metrics = os.path.join(work, device + ".jsonl")
    golden.run([os.path.join(build, "bin", "titan-run"), program,
                "--training.dataset_path", os.path.join(work, "batch.safetensors"), "--training.steps", str(STEPS),
                "--debug.seed=1", "--metrics.log_freq=1", "--metrics.jsonl", metrics])
    return golden.read_metrics(metrics)


def compile_and_record(build, work, precision, sources, options):
    os.makedirs(work, exist_ok=True)
    settings = {"local_batch_size": 2, "seq_len": 2048, "vocab_size": 2048}
    for option in options:
        key, _, value = option.rpartition(".")[2].partition("=")
        settings[key] = int(value) if key in settings else value
    write_batch(os.path.join(work, "batch.safetensors"), settings["local_batch_size"], settings["seq_len"],
                settings["vocab_size"])
    programs = {"cpu": os.path.join(work, "cpu.tbin"), "cuda:sm_90": os.path.join(work, "model.tbin")}
    for target, program in programs.items():
        golden.run([os.path.join(build, "bin", "titan-compile"),
                    os.path.join(sources, "models", "llama3", "debugmodel.toml"), "--target", target, "-o", program,
                    "--world-size", "1", "--training.mixed_precision_param", precision,
                    f"--training.local_batch_size={settings['local_batch_size']}", *options])
    train(build, programs["cpu"], work, "cpu")
    os.remove(programs["cpu"])


def compare(build, work, precision):
    expected = list(golden.read_metrics(os.path.join(work, "cpu.jsonl")).values())
    found = train(build, os.path.join(work, "model.tbin"), work, "gpu")
    table = golden.Table()
    loss, norm, fall = BOUNDS[precision]
    table.steps("loss, CPU", "loss", loss, found, expected)
    table.steps("gradient norm, CPU", "grad_norm", norm, found, expected)
    falls = [steps[0]["loss"] - steps[-1]["loss"] for steps in (list(found.values()), expected)]
    table.row("fall of the loss, CPU", fall, {f"steps 1 to {STEPS}": golden.relative(*falls)})
    print(f"losses of the CPU: {', '.join(str(step['loss']) for step in expected)}")
    return falls[1] > 1e-3 and len(found) == len(expected) == STEPS and not table.failed


def main():
    if sys.argv[1:2] == ["compile"] and len(sys.argv) >= 6:
        compile_and_record(*sys.argv[2:6], sys.argv[6:])
    elif sys.argv[1:2] == ["train"] and len(sys.argv) == 5:
        sys.exit(0 if compare(*sys.argv[2:]) else 1)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

"""Runs titan-compile and titan-run as a user does and checks what they promise.

    training.py BUILD_DIR WORK_DIR

Prints one line per behaviour and how many hold; the first that does not ends the script with 1.
"""

import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import time

BUILD, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COMPILE, RUN = (os.path.join(BUILD, "bin", name) for name in ("titan-compile", "titan-run"))

JOB = """
[model]
name = "llama3"
flavor = "debugmodel"
dim = 32
n_layers = 2
n_heads = 4
n_kv_heads = 2
ffn_hidden_dim = 96
vocab_size = 258
[optimizer]
lr = 3e-3
[lr_scheduler]
warmup_steps = 2
[training]
dataset_path = "text.txt"
local_batch_size = {rows}
seq_len = 32
steps = 6
mixed_precision_param = "float32"
[metrics]
log_freq = 1
[validation]
enable = true
local_batch_size = 2
seq_len = 32
freq = 100
steps = 2
[debug]
seed = 7
"""


def fail(message):
    print("FAILED:", message)
    sys.exit(1)


def call(arguments, status=0):
    done = subprocess.run(arguments, cwd=WORK, capture_output=True, text=True, timeout=120)
    if done.returncode != status:
        fail(f"{' '.join(arguments)}: exit code {done.returncode}, not {status}\n{done.stderr}")
    return done.stdout + done.stderr


def expect(text, *parts):
    for part in parts:
        if part not in text:
            fail(f"expected '{part}' in:\n{text}")


def losses(*options, program="model.tbin"):
    call([RUN, program, "--metrics.jsonl", "metrics.jsonl", *options])
    with open(os.path.join(WORK, "metrics.jsonl")) as lines:
        records = [json.loads(line) for line in lines]
    return [record["loss"] for record in records if "loss" in record]


def write_text():
    words = "the quick brown fox jumps over a lazy dog while seven wizards quietly mix paints".split()
    chosen = random.Random(1)
    with open(os.path.join(WORK, "text.txt"), "w") as text:
        for _ in range(400):
            text.write(" ".join(chosen.choices(words, k=12)) + ".\n")


def repeats():
    first = losses()
    if first != losses():
        fail("two runs with one seed have other losses")
    if first != losses("--runtime.threads", "1"):
        fail("the losses depend on the number of threads")
    if not first[-1] < first[0]:
        fail(f"the loss does not fall: {first}")


def poison():
    if losses() != losses("--poison"):
        fail("the program reads memory that it has not written")


def accumulation():
    whole = losses(program="large.tbin")
    parts = losses("--training.global_batch_size", "8")
    if len(whole) != 6 or any(abs(a - b) > 2e-6 * abs(a) for a, b in zip(whole, parts)):
        fail(f"four rows twice are not eight rows: {whole} and {parts}")


def evaluation():
    text = call([RUN, "model.tbin"])
    expect(text, "validate step:  6", "held-out loss", "unigram entropy")
    expect(call([RUN, "model.tbin", "--eval"]), "validate step:")


def interrupted():
    run = subprocess.Popen([RUN, "model.tbin", "--training.steps", "1000000"], cwd=WORK,
                           stderr=subprocess.PIPE, text=True)
    for line in run.stderr:
        if "step:  3" in line:
            break
    for _ in range(2):  # as `timeout` does: the process, then its group
        run.send_signal(signal.SIGINT)
    _, text = run.communicate(timeout=60)
    if run.returncode != 0:
        fail(f"SIGINT: exit code {run.returncode}\n{text}")
    expect(text, "stopped after step")


def tensors(path):
    """Name to (shape, floats) of a float32 safetensors file."""
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, body = json.loads(file.read(size)), file.read()
    result = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            result[name] = entry["shape"], list(struct.unpack(f"<{(end - begin) // 4}f",
                                                              body[begin:end]))
    return result


def write_tensors(path, contents):
    header, body = {}, b""
    for name in sorted(contents):
        shape, values = contents[name]
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(body), len(body) + len(packed)]}
        body += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def parameters():
    """Dumped parameters load again (a rate of 0 changes none); wrong ones are refused by name."""
    call([RUN, "model.tbin", "--debug.dump_parameters", "parameters.safetensors"])
    path = os.path.join(WORK, "parameters.safetensors")
    contents = tensors(path)
    call([RUN, "model.tbin", "--checkpoint.initial_load_path", path, "--training.steps", "1",
          "--optimizer.lr", "0",
          "--debug.dump_parameters", "again.safetensors"])
    if contents != tensors(os.path.join(WORK, "again.safetensors")):
        fail("parameters change when they are loaded and dumped")
    bad = os.path.join(WORK, "bad.safetensors")
    write_tensors(bad, {name: value for name, value in contents.items() if name != "norm.weight"})
    expect(call([RUN, "model.tbin", "--checkpoint.initial_load_path", bad], 1), "norm.weight")
    write_tensors(bad, {**contents, "extra": ([1], [0.0])})
    expect(call([RUN, "model.tbin", "--checkpoint.initial_load_path", bad], 1), "'extra'")
    return contents


def not_finite(contents):
    """A loss that is not finite ends the run and names the first bad tensor in execution order."""
    bad = os.path.join(WORK, "bad.safetensors")

    def error(changes, *options):
        write_tensors(bad, {**contents, **changes})
        return call([RUN, "model.tbin", "--checkpoint.initial_load_path", bad, *options], 1)

    def changed(name, change):
        shape, values = contents[name]
        return {name: (shape, [change(i, value) for i, value in enumerate(values)])}

    # A parameter of the middle, though the gradients of all parameters before it are bad too.
    text = error(changed("layers.1.feed_forward.w2.weight", lambda i, v: math.inf if i == 97 else v))
    expect(text, "step 1: loss",
           "the first bad tensor: parameter 'layers.1.feed_forward.w2.weight' is inf at [1, 1], read by",
           "(gemm of layers.1.feed_forward.w2) of function 'fwd', in microbatch 1 of 1",
           "the parameters are those before the step")
    # An overflow between finite tensors: the product of SwiGLU's two halves.
    large = {}
    for name in ("layers.0.feed_forward.w1.weight", "layers.0.feed_forward.w3.weight"):
        large |= changed(name, lambda i, v: v * 1e22)
    expect(error(large), "the first bad tensor: instruction", "(launch of kernel '", "function 'fwd' writes",
           "parameters used last: 'layers.0.feed_forward.w", "in microbatch 1 of 1")
    # A token that only the second microbatch has.
    with open(os.path.join(WORK, "late.txt"), "w") as text:
        text.write("a" * 210 + "Z" + "b" * 4000)
    expect(error(changed("tok_embeddings.weight", lambda i, v: math.inf if i == 90 * 32 + 3 else v),
                 "--training.dataset_path", "late.txt", "--training.global_batch_size", "8"),
           "parameter 'tok_embeddings.weight' is inf at [90, 3]", "(embedding of tok_embeddings) of function 'fwd'",
           "in microbatch 2 of 2")


def gradients():
    """The dumped gradients have the reported norm."""
    call([RUN, "model.tbin", "--training.steps", "1", "--debug.dump_gradients", "g.safetensors",
          "--metrics.jsonl", "metrics.jsonl"])
    with open(os.path.join(WORK, "metrics.jsonl")) as lines:
        reported = json.loads(lines.readline())["grad_norm"]
    values = [v for _, tensor in tensors(os.path.join(WORK, "g.safetensors")).values()
              for v in tensor]
    norm = math.sqrt(sum(v * v for v in values))
    if abs(norm - reported) > 1e-5 * norm:
        fail(f"the dumped gradients have the norm {norm}, {reported} is reported")


def optimizer():
    """The optimizer's constants are read when a run starts: two steps of AdamW by their formulas."""
    beta1, beta2, epsilon, decay, max_norm = 0.8, 0.998, 1e-3, 0.25, 0.125
    options = ["--lr_scheduler.total_steps", "6", "--optimizer.beta1", str(beta1),
               "--optimizer.beta2", str(beta2), "--optimizer.eps", str(epsilon),
               "--optimizer.weight_decay", str(decay), "--training.max_norm", str(max_norm),
               "--metrics.jsonl", "metrics.jsonl", "--debug.dump_gradients", "g.safetensors",
               "--debug.dump_parameters", "p.safetensors"]

    def run(*more):
        call([RUN, "model.tbin", *options, *more])
        with open(os.path.join(WORK, "metrics.jsonl")) as lines:
            records = [json.loads(line) for line in lines]
        step = [record for record in records if "grad_norm" in record][-1]
        return (step, *(tensors(os.path.join(WORK, file)) for file in ("g.safetensors", "p.safetensors")))

    _, _, values = run("--training.steps", "1", "--optimizer.lr", "0")
    values = {name: value for name, (_, value) in values.items()}
    state = {name: ([0.0] * len(value), [0.0] * len(value)) for name, value in values.items()}
    for t in (1, 2):
        step, gradients, found = run("--training.steps", str(t))
        if not step["grad_norm"] > max_norm:
            fail(f"nothing is clipped: {step}")
        scale = max_norm / (step["grad_norm"] + 1e-6)
        for name, (_, gradient) in gradients.items():
            p, (m, v) = values[name], state[name]
            for i, g in enumerate(gradient):
                m[i] = beta1 * m[i] + (1 - beta1) * scale * g
                v[i] = beta2 * v[i] + (1 - beta2) * (scale * g) ** 2
                p[i] = p[i] * (1 - step["lr"] * decay) - step["lr"] * m[i] / (1 - beta1 ** t) / (
                    math.sqrt(v[i] / (1 - beta2 ** t)) + epsilon)
            worst = max(abs(a - b) for a, b in zip(p, found[name][1]))
            if worst > 1e-6:
                fail(f"step {t}: {name} is off by {worst}")


def damaged():
    program = open(os.path.join(WORK, "model.tbin"), "rb").read()
    for name, contents in [("truncated", program[:len(program) // 2]), ("empty", b""),
                           ("flipped", program[:200] + bytes([program[200] ^ 1]) + program[201:])]:
        with open(os.path.join(WORK, "damaged.tbin"), "wb") as file:
            file.write(contents)
        expect(call([RUN, "damaged.tbin"], 1), "damaged.tbin")
    expect(call([RUN, "missing.tbin"], 1), "missing.tbin")


def wrong_options():
    expect(call([RUN, "model.tbin", "--training.seq_len", "64"], 1), "training.seq_len", "32", "64")
    expect(call([RUN, "model.tbin", "--training.global_batch_size", "6"], 1),
           "training.global_batch_size", "6", "4")
    expect(call([RUN, "model.tbin", "--training.stepz", "6"], 1), "training.stepz",
           "training.steps")
    expect(call([RUN, "model.tbin", "--training.dataset_path", "nowhere.txt"], 1), "nowhere.txt")
    expect(call([RUN, "model.tbin", "other.tbin"], 1), "other.tbin")
    expect(call([COMPILE, "job.toml", "--model.n_heads", "5"], 1), "5")
    expect(call([COMPILE, "job.toml", "--parallelism.tensor_parallel_degree", "8"], 1),
           "tensor_parallel_degree = 8", "n_heads = 4")


def from_job():
    """A job file is compiled once and says when it has to be compiled again."""
    expect(call([RUN, "job.toml", "--training.steps", "1"]), "compiling job.toml (not compiled before)")
    # Run-time keys come from the job file and the command line, not from the run that compiled it.
    expect(call([RUN, "job.toml"]), "using the compiled program", "step:  6")
    expect(call([RUN, "job.toml", "--model.n_layers", "1", "--training.steps", "1",
                 "--validation.no_enable"]), "changed since: model.n_layers")
    expect(call([RUN, "job.toml", "--model.n_layers", "1", "--training.steps", "1"]),
           "changed since: validation.enable", "held-out loss")


def main():
    os.makedirs(WORK)
    write_text()
    for name, rows in (("job", 4), ("large", 8)):
        with open(os.path.join(WORK, name + ".toml"), "w") as job:
            job.write(JOB.format(rows=rows))
    call([COMPILE, "job.toml", "-o", "model.tbin"])
    call([COMPILE, "large.toml", "-o", "large.tbin"])
    contents = parameters()
    behaviours = {
        "repeats": repeats, "poison": poison, "accumulation": accumulation,
        "evaluation": evaluation, "interrupted": interrupted,
        "not finite": lambda: not_finite(contents), "gradients": gradients, "optimizer": optimizer,
        "damaged": damaged,
        "wrong options": wrong_options, "from job": from_job}
    for name, behaviour in behaviours.items():
        start = time.time()
        behaviour()
        print(f"{name:16} {time.time() - start:6.2f} s", flush=True)
    print(f"{len(behaviours) + 1} behaviours hold")


if __name__ == "__main__":
    main()

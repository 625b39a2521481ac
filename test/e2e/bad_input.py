"""Gives titan-run and titan-data what a hasty user gives them.

    bad_input.py BUILD_DIR WORK_DIR

Each must exit with 1 and one line that names the option or file and says what is wrong.
"""

import gzip
import os
import subprocess
import sys

BUILD, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COMPILE, RUN, DATA = (os.path.join(BUILD, "bin", name) for name in ("titan-compile", "titan-run", "titan-data"))

JOB = """
[model]
name = "llama3"
flavor = "debugmodel"
dim = 32
n_layers = 1
n_heads = 2
n_kv_heads = 2
ffn_hidden_dim = 32
vocab_size = 258
[training]
dataset_path = "text.txt"
local_batch_size = 2
seq_len = 16
steps = 1
mixed_precision_param = "float32"
"""

failures = []


def expect(arguments, *parts):
    """The command fails, and one line of its output has all parts."""
    done = subprocess.run(arguments, cwd=WORK, capture_output=True, text=True, timeout=60)
    text = done.stdout + done.stderr
    what = " ".join(os.path.basename(argument) for argument in arguments)
    if done.returncode != 1:
        failures.append(f"{what}: exit code {done.returncode}, not 1\n{text}")
    elif not any(all(part in line for part in parts) for line in text.splitlines()):
        failures.append(f"{what}: no line has all of {parts}:\n{text}")


def run(*options):
    return [RUN, "model.tbin", *options]


def write(name, contents):
    with open(os.path.join(WORK, name), "wb") as file:
        file.write(contents)


def prepare():
    os.makedirs(os.path.join(WORK, "folder"))
    write("job.toml", JOB.encode())
    write("text.txt", b"some text to train on, again and again. " * 100)
    write("empty.txt", b"")
    write("empty.tbin", b"")
    write("broken.jsonl", b'{"text": "good"}\n{"text": 1}\n')
    write("broken.json.gz", gzip.compress(b'{"text": "good"}\n' * 1000)[:-20])
    write("plain.json.gz", b'{"text": "not compressed"}\n')
    write("broken.safetensors", b"\xff" * 64)
    write("broken.toml", b"[training\nsteps = 1\n")
    subprocess.run([COMPILE, "job.toml", "-o", "model.tbin"], cwd=WORK, check=True, capture_output=True)


def programs():
    expect([RUN], "expects a program or a job file")
    expect([RUN, "missing.tbin"], "missing.tbin", "no such file")
    expect([RUN, "missing.toml"], "missing.toml", "no such file")
    expect([RUN, "folder"], "folder", "not a regular file")
    expect([RUN, "empty.tbin"], "empty.tbin", "found 0")
    expect([RUN, "text.txt"], "text.txt")
    expect([RUN, "broken.toml"], "broken.toml", "1")
    expect([RUN, "model.tbin", "job.toml"], "model.tbin", "job.toml")
    expect([RUN, "--dump-program", "missing.tbin"], "missing.tbin")
    expect(run("--no-such-option"), "--no-such-option")


def numbers():
    for option in ("--training.steps", "--training.global_batch_size", "--metrics.log_freq"):
        for value in ("0", "-2", "99999999999999999999", "1.5", "many", ""):
            expect(run(option, value), option[2:], f"'{value}'" if value in ("many", "") else value)
    # Of these the program has its own: they cannot change.
    expect(run("--training.seq_len", "0"), "training.seq_len", "0")
    expect(run("--training.local_batch_size", "0"), "training.local_batch_size", "0")
    expect(run("--training.global_batch_size", "3"), "training.global_batch_size", "3", "2")
    expect(run("--training.global_batch_size", "9223372036854775807"), "training.global_batch_size")
    expect(run("--optimizer.lr", "-1"), "optimizer.lr", "-1")
    expect(run("--optimizer.lr", "nan"), "optimizer.lr", "nan")
    expect(run("--optimizer.beta1", "1.5"), "optimizer.beta1", "1.5")
    expect(run("--runtime.threads", "-1"), "runtime.threads", "-1")
    expect(run("--runtime.threads", "100000000"), "runtime.threads", "100000000")
    expect(run("--lr_scheduler.decay_ratio", "2"), "lr_scheduler.decay_ratio", "2")
    expect(run("--lr_scheduler.decay_type", "steep"), "lr_scheduler.decay_type", "steep", "linear")
    expect(run("--training.steps"), "--training.steps")


def data():
    expect(run("--training.dataset_path", "missing.txt"), "training.dataset_path", "missing.txt")
    expect(run("--training.dataset_path", "folder"), "training.dataset_path", "folder")
    expect(run("--training.dataset_path", "*.nothing"), "training.dataset_path", "*.nothing")
    expect(run("--training.dataset_path", "empty.txt"), "training.dataset_path", "empty.txt")
    expect(run("--training.dataset_path", "broken.jsonl"), "training.dataset_path", "broken.jsonl:2")
    expect(run("--training.dataset_path", "broken.json.gz"), "training.dataset_path", "broken.json.gz")
    expect(run("--training.dataset_path", "plain.json.gz"), "training.dataset_path", "not a gzip file")
    expect(run("--training.dataset_path", "broken.safetensors"), "training.dataset_path", "broken.safetensors")
    expect(run("--training.dataset_path", "missing.safetensors"), "training.dataset_path", "missing.safetensors")
    expect(run("--training.dataset_path", ""), "training.dataset_path")
    expect(run("--model.hf_assets_path", "folder"), "model.hf_assets_path", "tokenizer.json")
    expect(run("--checkpoint.initial_load_path", "missing.safetensors"), "missing.safetensors")
    expect(run("--checkpoint.initial_load_path", "folder"), "folder", "not a regular file")
    expect(run("--checkpoint.initial_load_path", "empty.txt"), "empty.txt")
    expect(run("--validation.enable"), "validation.enable")
    expect(run("--eval"), "validation.enable")


def outputs():
    for option in ("--debug.dump_parameters", "--debug.dump_gradients", "--metrics.jsonl"):
        expect(run(option, "folder"), "folder", "is a directory")
        expect(run(option, "text.txt/below"), "text.txt", "not a directory")
    expect(run("--job.dump_folder", "text.txt"), "text.txt", "not a directory")


def titan_data():
    build = [DATA, "build", "--output", "out.tokens"]
    expect([DATA], "unknown command ''", "build")
    expect([DATA, "biuld"], "unknown command 'biuld'", "build")
    expect([*build], "at least one file")
    expect([DATA, "build", "text.txt"], "--output")
    expect([*build, "missing.txt"], "missing.txt", "no such file")
    expect([*build, "empty.txt"], "no text", "empty.txt")
    expect([*build, "folder"], "folder", "no data files")
    expect([*build, "broken.jsonl"], "broken.jsonl:2")
    expect([*build, "broken.json.gz"], "broken.json.gz", "ends too early")
    expect([*build, "text.txt", "--threads", "0"], "--threads", "'0'", "1 to 1024")
    expect([*build, "text.txt", "--threads"], "--threads", "missing")
    expect([*build, "text.txt", "--tokenizer", "missing"], "--tokenizer", "missing")
    expect([*build, "text.txt", "--speed", "1"], "--speed", "--threads")
    expect([DATA, "build", "--output", "folder", "text.txt"], "--output", "folder")
    expect([DATA, "build", "--output", "text.txt/out", "text.txt"], "text.txt", "not a directory")
    expect([DATA, "info", "missing.tokens"], "missing.tokens", "no such file")
    expect([DATA, "info", "text.txt"], "text.txt", "not a token file")
    expect([DATA, "verify", "folder"], "folder", "not a regular file")
    expect([DATA, "verify", "empty.txt"], "empty.txt", "0 bytes")
    expect([DATA, "info", "a", "b"], "2 arguments")


def main():
    prepare()
    for part in (programs, numbers, data, outputs, titan_data):
        part()
    if os.path.exists(os.path.join(WORK, "out.tokens.building")):
        failures.append("a failed build leaves its folder behind")
    if failures:
        sys.exit("\n".join(failures))
    print("all mistakes are named")


if __name__ == "__main__":
    main()

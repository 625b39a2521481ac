"""What a job of several ranks does about faults, and its ranks as processes of mpirun.

    mesh_faults.py local|mpi BUILD_DIR WORK_DIR

Prints one line per behaviour and how many hold; the first that does not ends the script with 1.
"""

import json
import os
import shutil
import subprocess
import sys

from golden import launch

PART, BUILD, WORK = sys.argv[1], os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3])
COMPILE, RUN = (os.path.join(BUILD, "bin", name) for name in ("titan-compile", "titan-run"))
RANKS = 4
TIMEOUT = 3

JOB = """
[job]
dump_folder = "out"
[model]
name = "llama3"
flavor = "debugmodel"
dim = 32
n_layers = 2
n_heads = 4
n_kv_heads = 2
ffn_hidden_dim = 96
vocab_size = 258
[lr_scheduler]
warmup_steps = 2
[training]
dataset_path = "text.txt"
local_batch_size = 2
seq_len = 32
steps = 4
mixed_precision_param = "float32"
[metrics]
log_freq = 1
[debug]
seed = 7
[parallelism]
data_parallel_shard_degree = {shard}
tensor_parallel_degree = {tensor}
{more}
"""

REPLICATE = "data_parallel_replicate_degree = 2"
PIPELINE = """
pipeline_parallel_degree = {ranks}
pipeline_parallel_schedule = "{schedule}"
"""


def fail(message):
    print("FAILED:", message)
    sys.exit(1)


def expect(text, *parts):
    for part in parts:
        if part not in text:
            fail(f"expected '{part}' in:\n{text}")


def call(arguments, status=0, **environment):
    """Both outputs of a command."""
    done = subprocess.run(arguments, cwd=WORK, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})
    if status not in (done.returncode, None) or (status is None and done.returncode == 0):
        fail(f"{' '.join(arguments)}: exit code {done.returncode}, not {status}\n{done.stderr}")
    return done.stdout + done.stderr


def losses(launcher=(), program="mesh.tbin", options=()):
    call([*launcher, RUN, program, "--metrics.jsonl", "metrics.jsonl", *options])
    with open(os.path.join(WORK, "metrics.jsonl")) as lines:
        return [json.loads(line)["loss"] for line in lines]


def traces():
    """The last collective of each rank, by rank; the files are then removed."""
    folder = os.path.join(WORK, "out", "comm_traces")
    last = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name)) as lines:
            last[int(name.removeprefix("rank_"))] = json.loads(lines.readlines()[-1])
    shutil.rmtree(folder)
    return last


def inject(fault, rank=3):
    return ["--debug.inject", f"rank:{rank},step:2,collective:5,{fault}",
            "--comm.train_timeout_seconds", str(TIMEOUT)]


def check_named(text, why):
    expect(text, f"waited {TIMEOUT * 1000} ms", "sequence number", f"rank 3 {why}")
    last = traces()
    if sorted(last) != list(range(RANKS)):
        fail(f"the flight recorders of the ranks {sorted(last)} were written")
    if last[3]["state"] == "awaited" or all(last[rank]["state"] == "done" for rank in range(3)):
        fail(f"the flight recorders do not show who waits: {last}")


def killed():
    check_named(call([RUN, "mesh.tbin", *inject("kill")], 75), "has left")


def hung():
    check_named(call([RUN, "mesh.tbin", *inject("hang")], 75), "hangs or computes")


def hung_first_rank():
    text = call([RUN, "mesh.tbin", *inject("hang", rank=0)], 75)
    expect(text, "rank 0 hangs or computes")
    traces()


def hung_mesh():
    """Ranks 0 and 1 do not share a group with rank 3 alone; they too wait in the end."""
    text = call([RUN, "square.tbin", *inject("hang")], 75)
    expect(text, "rank 3 hangs or computes")
    traces()


def slow():
    if losses() != losses(options=inject("slow")):
        fail("a rank that is a second late changes the losses")


def nan():
    text = call([RUN, "mesh.tbin", *inject("nan")], 1)
    expect(text, "step 2", "nan", "the parameters are those before the step")
    traces()


def untraced():
    call([RUN, "mesh.tbin", *inject("kill"), "--comm.trace_buf_size", "0"], 75)
    if os.path.exists(os.path.join(WORK, "out", "comm_traces")):
        fail("comm.trace_buf_size = 0 leaves traces")


def bad_faults():
    for fault, message in (("rank:4,step:1,collective:1,kill", "no rank 4"),
                           ("rank:1,step:1,kill", "collective:N is missing"),
                           ("rank:1,step:1,collective:1,boom", "'boom' is none of")):
        expect(call([RUN, "mesh.tbin", "--debug.inject", fault], 1), "debug.inject", message)


def too_few_rows():
    expect(call([RUN, "mesh.tbin", "--training.global_batch_size", "3"], 1), "training.global_batch_size = 3",
           "must be a multiple of the 8 rows that the program's ranks take at once, such as 8")


def mpirun(ranks=RANKS):
    return launch("mpirun", ranks)


def same_losses_of(*programs):
    for program in programs:
        local = losses(program=program)
        if len(local) != 4 or losses(mpirun(), program) != local:
            fail(f"other losses in {program} than those of threads, {local}")


def same_losses_on_two_axes():
    same_losses_of("square.tbin", "copies.tbin", "hybrid.tbin")


def same_losses_in_pipelines():
    same_losses_of("loop.tbin", "line.tbin")


def pipeline_faults():
    text = call([RUN, "loop.tbin", *inject("kill")], 75)
    expect(text, "rank 3")
    text = call([RUN, "line.tbin", *inject("nan")], 1)
    expect(text, "nan", "the parameters are those before the step")
    traces()


def one_speaks():
    text = call([*mpirun(), RUN, "mesh.tbin", "--training.steps", "2"])
    if text.count("step:  2") != 1 or "mpi, 4 ranks" not in text:
        fail(f"rank 0 alone says what all would:\n{text}")


def other_size():
    text = call([*mpirun(2), RUN, "mesh.tbin"], 1)
    expect(text, "Open MPI started 2 processes", "mesh has 4 ranks (dp_shard 4)",
           "start 4 processes", "--world-size 2")


def process_hangs():
    text = call([*mpirun(), RUN, "mesh.tbin", *inject("hang")], 75)
    expect(text, f"waited {TIMEOUT * 1000} ms", "rank 3")


def process_dies():
    expect(call([*mpirun(), RUN, "mesh.tbin", *inject("kill")], None), "rank 3")


def process_is_slow_or_wrong():
    if losses(mpirun()) != losses(mpirun(), options=inject("slow")):
        fail("a process that is a second late changes the losses")
    text = call([*mpirun(), RUN, "mesh.tbin", *inject("nan")], 1)
    expect(text, "step 2", "nan", "the parameters are those before the step")


def job_file():
    """Compiled by rank 0 for the launcher's ranks; compiled anew for another number of them."""
    options = [RUN, "auto.toml", "--training.steps", "1"]
    text = call([*mpirun(2), *options])
    expect(text, "not compiled before", "mpi, 2 ranks", "step:  1")
    if text.count("wrote ") != 1:
        fail(f"compiled more than once:\n{text}")
    expect(call([*mpirun(2), *options]), "using the compiled program")
    expect(call([*mpirun(1), *options]), "not compiled before", "step:  1")


def wrong_launcher():
    torchrun = dict(RANK="0", WORLD_SIZE="4", LOCAL_RANK="0", MASTER_ADDR="localhost",
                    MASTER_PORT="29500")
    expect(call([RUN, "mesh.tbin"], 1, **torchrun), "torchrun started 4 processes", "mpirun -n 4")
    expect(call([RUN, "mesh.tbin", "--runtime.communicator", "mpi"], 1),
           "runtime.communicator", "mpirun -n 4")
    expect(call([*mpirun(2), RUN, "mesh.tbin", "--runtime.communicator", "local"], 1),
           "runtime.communicator", "2 processes")


def compile_job(name, shard, tensor, more=""):
    path = os.path.join(WORK, name)
    with open(path + ".toml", "w") as job:
        job.write(JOB.format(shard=shard, tensor=tensor, more=more))
    if name != "auto":
        call([COMPILE, path + ".toml", "-o", path + ".tbin"])


LOCAL = [(killed, "a killed rank is named"), (hung, "a hung rank is named"),
         (hung_first_rank, "a hung rank 0 is named"),
         (hung_mesh, "a hung rank is named on a mesh of two axes"),
         (slow, "a slow rank changes nothing"), (nan, "a NaN ends the run"),
         (pipeline_faults, "a killed rank of a pipeline is named, a NaN ends its run"),
         (untraced, "no traces when none are wanted"), (bad_faults, "malformed faults are errors"),
         (too_few_rows, "fewer rows than ranks are an error")]
MPI = [(lambda: same_losses_of("mesh.tbin"), "processes have the losses of threads"),
       (same_losses_on_two_axes, "so they do on meshes of two axes"),
       (same_losses_in_pipelines, "so they do in pipelines"),
       (one_speaks, "rank 0 alone speaks"), (other_size, "another world size is an error"),
       (process_hangs, "a hung process is named"), (process_dies, "a dead process is named"),
       (process_is_slow_or_wrong, "a slow process changes nothing, a NaN ends the run"),
       (wrong_launcher, "launchers that do not fit are errors"),
       (job_file, "a job file is compiled for the launcher's ranks")]

os.makedirs(WORK, exist_ok=True)
with open(os.path.join(WORK, "text.txt"), "w") as text:
    text.writelines(f"line {i} of {i * i} and {i * 7 % 113}\n" for i in range(2000))
for job in (("mesh", 4, 1), ("square", 2, 2), ("auto", -1, 1), ("copies", 1, 2, REPLICATE), ("hybrid", 2, 1, REPLICATE),
            ("loop", 2, 1, PIPELINE.format(ranks=2, schedule="ZBVZeroBubble")),
            ("line", 1, 1, PIPELINE.format(ranks=4, schedule="1F1B"))):
    compile_job(*job)
behaviours = LOCAL if PART == "local" else MPI
for behaviour, description in behaviours:
    behaviour()
    print("ok:", description)
print(len(behaviours), "behaviours hold")

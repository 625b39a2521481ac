"""Trains the debug model in pipelines and compares each with one rank.

    pipelines.py BUILD_DIR WORK_DIR [--layers N] [--poison CASE] CASE ...
    pipelines.py BUILD_DIR WORK_DIR --all      every schedule, mesh and number of microbatches: an hour

A case is SCHEDULE,PP,SHARD,TP,MICROBATCHES, such as 1F1B,2,1,2,4, and may go on with options,
key=value of [parallelism] separated by commas; a SCHEDULE that ends in .csv is a file. Microbatches are of one
row of 64 tokens for each rank that splits the batch. Deviations and bounds are those of meshes.py.
"""

import argparse
import sys

import meshes

# Name, fewest layers of a stage count, and which microbatch counts on so many ranks it takes.
SCHEDULES = {
    "GPipe": lambda ranks, count: True,
    "1F1B": lambda ranks, count: True,
    "LoopedBFS": lambda ranks, count: True,
    "Interleaved1F1B": lambda ranks, count: count % ranks == 0,
}
COUNTS = (1, 2, 3, 4, 8, 16)


class Pipeline:
    """A case as meshes.Trainer.run() takes it."""

    def __init__(self, text):
        schedule, ranks, shard, tp, count, *options = text.split(",")
        self.name = text
        self.world = int(ranks) * int(shard) * int(tp)
        self.rows = int(count) * int(shard)
        self.options = ["--training.local_batch_size", count, "--parallelism.pipeline_parallel_degree", ranks,
                        "--parallelism.data_parallel_shard_degree", shard,
                        "--parallelism.tensor_parallel_degree", tp]
        if schedule.endswith(".csv"):
            self.options += ["--parallelism.pipeline_parallel_schedule", "PipelineScheduleMulti",
                             "--parallelism.pipeline_parallel_schedule_csv", schedule]
        else:
            self.options += ["--parallelism.pipeline_parallel_schedule", schedule]
        for option in options:
            key, value = option.split("=")
            self.options += ["--parallelism." + key, value]

    def compile_options(self):
        return ["--world-size", str(self.world), *self.options]


class OneRank:
    def __init__(self, rows):
        self.rows = rows

    def compile_options(self):
        return ["--training.local_batch_size", str(self.rows)]


def all_cases():
    for schedule, takes in SCHEDULES.items():
        for ranks in (2, 4):
            for shard, tp in ((1, 1), (2, 1), (1, 2), (2, 2)):
                for count in COUNTS:
                    if takes(ranks, count):
                        yield f"{schedule},{ranks},{shard},{tp},{count}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("work")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--poison", action="append", default=[])
    arguments = parser.parse_intermixed_args()
    trainer = meshes.Trainer(arguments.build, arguments.work, arguments.layers)
    references = {}
    good = []
    for name in arguments.cases + (list(all_cases()) if arguments.all else []):
        case = Pipeline(name)
        trainer.rows = case.rows
        if case.rows not in references:
            references[case.rows] = trainer.run("one", OneRank(case.rows), False)
        result = trainer.run("pipeline", case, name in arguments.poison)
        good.append(meshes.compare(name, result, references[case.rows]))
    if not good or not all(good):
        sys.exit(f"FAILED: {good.count(False)} of {len(good)} pipelines")
    print(f"{len(good)} pipelines train as one rank does")


if __name__ == "__main__":
    main()

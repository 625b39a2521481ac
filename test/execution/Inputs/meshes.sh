# meshes.sh JOB FOLDER TOKENS MESH... [OPTION...]: for each MESH "REPLICATE SHARD TENSOR", compares the global
# step with the local program and with its kernels, both on all ranks. TOKENS: the size of the vocabulary.
set -e
job=$1 folder=$2 tokens=$3
shift 3
meshes=""
while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do
  meshes="$meshes${meshes:+,}$1"
  shift
done
IFS=,
for mesh in $meshes; do
  unset IFS
  echo "mesh $mesh $*"
  set -- $mesh "$@"
  replicate=$1 shard=$2 tensor=$3
  shift 3
  for phase in step local kernels; do
    titan-compile "$job" --validation.no_enable --world-size $((replicate * shard * tensor)) \
      --parallelism.data_parallel_replicate_degree "$replicate" --parallelism.data_parallel_shard_degree "$shard" \
      --parallelism.tensor_parallel_degree "$tensor" "$@" --compile-to=$phase -o "$folder/$phase.mlir"
  done
  titan-check "$folder/step.mlir" "$folder/local.mlir" --step --int-max "$tokens" --tolerance 1e-12
  titan-check "$folder/step.mlir" "$folder/kernels.mlir" --step --int-max "$tokens" --tolerance 1e-12
done

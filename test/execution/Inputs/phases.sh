# phases.sh JOB FOLDER TOKENS OPTION...: compares the global step of four layers with the local program and with its
# kernels. TOKENS: the size of the vocabulary.
set -e
job=$1 folder=$2 tokens=$3
shift 3
for phase in step local kernels; do
  titan-compile "$job" --validation.no_enable --model.n_layers 4 "$@" --compile-to=$phase -o "$folder/$phase.mlir"
done
titan-check "$folder/step.mlir" "$folder/local.mlir" --step --int-max "$tokens" --tolerance 1e-12
titan-check "$folder/step.mlir" "$folder/kernels.mlir" --step --int-max "$tokens" --tolerance 1e-12

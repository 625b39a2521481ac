# keep_casts.sh JOB NAME [OPTION...]: three training steps in bfloat16 with and without titan-keep-casts.
set -e
job=$1 name=$2
shift 2
titan-compile "$job" --model.n_layers 2 --model.dim 32 --model.n_heads 4 --model.n_kv_heads 2 \
  --model.vocab_size 40 --training.local_batch_size 4 --training.seq_len 8 \
  --training.mixed_precision_param bfloat16 --validation.enable "$@" --compile-to=sharded -o "$name.sharded.mlir"
placement=
case "$*" in *never*) placement=-titan-gather-per-step ;; esac
titan-opt "$name.sharded.mlir" -titan-split-stages -titan-differentiate -titan-build-optimizer -titan-propagate-shardings \
  $placement -o "$name.before.mlir"
titan-opt "$name.before.mlir" -titan-keep-casts -o "$name.after.mlir"
titan-check "$name.before.mlir" "$name.after.mlir" --step --steps 3 --int-max 40 --mode typed --tolerance 0

# Compares every function of a sharded module with its partitioned form, and with what is left of that
# after titan-chunk-loss and titan-simplify-collectives.
set -e
titan-opt "$1" -titan-partition-spmd -titan-chunk-loss=chunks=3 -o "$1.local"
titan-opt "$1.local" -titan-simplify-collectives -canonicalize -cse -o "$1.simple"
for function in attention_block attention_gradient gradients storage norm shapes embedding loss head loss_padded head_padded \
    reshards adam map; do
  titan-check "$1" "$1.local" --function $function
  titan-check "$1" "$1.simple" --function $function
done

#!/bin/sh
# Train the models of the second edition of the drawings, each after those that it needs:
#   examples/train/second/all.sh
# They begin from the embedded ones, and are not shipped yet. Killed or stopped, the same command
# goes on from the last checkpoints.
set -eu
cd "$(dirname "$0")/../../.."

for stage in vae clip unet fineface au-net attributes judge face-embedder faceid; do
    synthgen train "$stage" "examples/train/second/$stage.yaml" --to "out/second/$stage"
done

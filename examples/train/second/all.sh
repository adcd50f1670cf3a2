#!/bin/sh
# Train the models of the second edition of the drawings, each after those that it needs:
#   examples/train/second/all.sh
# They begin from the embedded ones, and are not shipped yet. A stage that lies in weights/ is taken
# from there; one called -further begins from the stage before it. Killed or stopped, the same
# command goes on from the last checkpoints.
set -eu
cd "$(dirname "$0")/../../.."

mkdir -p out/second
for stage in vae clip unet fineface au-net au-net-further presence attributes flame-extractor judge face-embedder faceid arc2face expression reference; do
    if [ -d "examples/train/second/weights/$stage" ]; then
        cp -R "examples/train/second/weights/$stage" out/second/
        echo "$stage: taken from examples/train/second/weights"
        continue
    fi
    synthgen train "${stage%-further}" "examples/train/second/$stage.yaml" --to "out/second/$stage"
done

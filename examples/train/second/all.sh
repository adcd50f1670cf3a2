#!/bin/sh
# Train the models of the second edition of the drawings, each after those that it needs:
#   examples/train/second/all.sh
# They begin from the embedded ones, and are not shipped yet. A stage that lies in weights/ is taken
# from there. One called -further begins from the stage before it, one called -third from that; where
# a later one lies in weights/, those before it are left out. Killed or stopped, the same command goes
# on from the last checkpoints.
set -eu
cd "$(dirname "$0")/../../.."

weights=examples/train/second/weights
mkdir -p out/second
for stage in vae clip unet fineface fineface-further fineface-third au-net au-net-further presence attributes flame-extractor judge face-embedder faceid arc2face expression reference; do
    kind=${stage%-further}
    kind=${kind%-third}
    if [ -d "$weights/$stage" ]; then
        cp -R "$weights/$stage" out/second/
        echo "$stage: taken from $weights"
    elif { [ "$stage" = "$kind" ] && [ -d "$weights/$kind-further" ]; } || [ -d "$weights/$kind-third" ]; then
        echo "$stage: left out, for a later one lies in $weights"
    else
        synthgen train "$kind" "examples/train/second/$stage.yaml" --to "out/second/$stage"
    fi
done

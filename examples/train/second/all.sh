#!/bin/sh
# Train the models of the second edition of the drawings, each after those that it needs:
#   examples/train/second/all.sh
# They begin from the embedded ones, and are not shipped yet. A stage that lies in weights/ is taken
# from there. One called -further or -glasses begins from the stage before it, which is left out where
# the later one lies in weights/; fineface-traits begins from fineface: to train it anew, delete
# fineface-further, too. Killed or stopped, the same command goes on from the last checkpoints.
set -eu
cd "$(dirname "$0")/../../.."

weights=examples/train/second/weights
mkdir -p out/second
for stage in vae clip unet fineface fineface-further fineface-traits au-net au-net-further au-net-glasses presence attributes flame-extractor judge face-embedder faceid arc2face expression reference; do
    if [ -d "$weights/$stage" ]; then
        cp -R "$weights/$stage" out/second/
        echo "$stage: taken from $weights"
    elif [ -d "$weights/$stage-further" ] || [ -d "$weights/${stage%-further}-glasses" ]; then
        echo "$stage: left out, for a later one lies in $weights"
    else
        case $stage in
            *-further | *-glasses | *-traits) kind=${stage%-*} ;;
            *) kind=$stage ;;
        esac
        synthgen train "$kind" "examples/train/second/$stage.yaml" --to "out/second/$stage"
    fi
done

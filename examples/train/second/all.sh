#!/bin/sh
# Train the models of the second edition of the drawings, each after those that it needs:
#   examples/train/all.sh && examples/train/second/all.sh
# They begin from those of the first edition, which the first script makes (out/train/mini), and are
# not shipped yet. What lies in weights/ is taken from there: delete a folder there to train it anew,
# with those that it begins from. One called -further begins from the one before it. Killed or
# stopped, the same command goes on from the last checkpoints. The result is a folder laid out as
# pipelines/mini: out/second/mini; out/second/judge is the second judge of its documents.
# Hours are those of one CPU core, as far as they were measured: of trainings in bfloat16 one with
# AVX-512, of those in float32 one without, two for those called steady. Weights are the same to the
# bit on the same machine alone.
set -eu
cd "$(dirname "$0")/../../.."

weights=examples/train/second/weights
mkdir -p out/second

have() { # take a stage from weights/, if it lies there; again each time: a copy may have been killed
    [ -d "$weights/$1" ] && cp -R "$weights/$1" out/second/
}

# 2.8 hours vae: images to latents and back
have vae || synthgen train vae examples/train/second/vae.yaml --to out/second/vae

# 0.6 hours clip: text and image encoder
have clip || synthgen train clip examples/train/second/clip.yaml --to out/second/clip

# 1.8 hours unet: text to image, with the VAE and CLIP
have unet || synthgen train unet examples/train/second/unet.yaml --to out/second/unet

# 1.2 hours au-net: measures 18 AUs, 12 of them left and right apart
have au-net-last || synthgen train au-net examples/train/second/au-net.yaml --to out/second/au-net

# 0.4 hours au-net, further: a higher rate, for the AUs that it did not read yet
have au-net-last || synthgen train au-net examples/train/second/au-net-further.yaml --to out/second/au-net-further

# 0.3 hours au-net, further: more faces with glasses, behind which it read too little
have au-net-last || synthgen train au-net examples/train/second/au-net-glasses.yaml --to out/second/au-net-glasses

# 0.4 hours au-net, further: more expressions of emotions
have au-net-last || synthgen train au-net examples/train/second/au-net-painted.yaml --to out/second/au-net-painted

# 0.3 hours au-net, further: the same, on more faces that the VAE has decoded
have au-net-last || synthgen train au-net examples/train/second/au-net-last.yaml --to out/second/au-net-last

# 0.3 hours presence: tells faces from pictures without one
have presence || synthgen train presence examples/train/second/presence.yaml --to out/second/presence

# 0.9 hours face-embedder: describes people
have face-embedder || synthgen train face-embedder examples/train/second/face-embedder.yaml --to out/second/face-embedder

# 1.5 hours fineface: AU adapter beside the base
have fineface-steady || synthgen train fineface examples/train/second/fineface.yaml --to out/second/fineface

# 0.8 hours fineface, further: on what it paints itself, where traits are read, too
have fineface-steady || synthgen train fineface examples/train/second/fineface-traits.yaml --to out/second/fineface-traits

# 1.4 hours fineface, further: the same, by readers that learned longer
have fineface-steady || synthgen train fineface examples/train/second/fineface-steady.yaml --to out/second/fineface-steady

# 0.9 hours faceid: face adapter beside the base, the AU adapter and the face embedder
have faceid-steady || synthgen train faceid examples/train/second/faceid.yaml --to out/second/faceid

# 1.2 hours faceid, further: beside the AU adapter that has learned on, and on what both paint
have faceid-steady || synthgen train faceid examples/train/second/faceid-steady.yaml --to out/second/faceid-steady

# 0.3 hours attributes: reads what slots ask for
have attributes || synthgen train attributes examples/train/second/attributes.yaml --to out/second/attributes

# 0.7 hours judge: a second judge of AUs and traits
have judge || synthgen train judge examples/train/second/judge.yaml --to out/second/judge

# a minute: 200 people of the second edition
synthgen faces draw --people 200 --edition 2 --embedder out/second/face-embedder/face_embedder.safetensors --to out/second/mini-people.parquet

mini=out/second/mini
rm -rf "$mini"
mkdir -p "$mini"
cp out/second/au-net-last/au_network.safetensors out/second/au-net-last/au_network.json "$mini"
cp out/second/presence/presence.safetensors out/second/presence/presence.json "$mini"
cp out/second/face-embedder/face_embedder.safetensors "$mini"
cp out/second/face-embedder/card.json "$mini/face_embedder.json"
cp out/second/attributes/attributes.safetensors "$mini"
cp out/second/attributes/card.json "$mini/attributes.json"
cp -R out/second/unet/base "$mini/base"
cp -R out/second/fineface-steady/fineface "$mini/fineface"
cp -R out/second/faceid-steady/faceid "$mini/faceid"
cp pipelines/mini/sampling.json "$mini" # steps and guidance: chosen, not trained
echo "$mini"

# Arc2Face's, which nothing ships yet; none of them was trained whole
synthgen train flame-extractor examples/train/second/flame-extractor.yaml --to out/second/flame-extractor
synthgen train arc2face examples/train/second/arc2face.yaml --to out/second/arc2face
synthgen train expression examples/train/second/expression.yaml --to out/second/expression
synthgen train reference examples/train/second/reference.yaml --to out/second/reference

#!/bin/sh
# Rebuild every weight that synthgen ships in pipelines/mini, each after those that it needs:
#   examples/train/all.sh            (or: make mini)
# Killed or stopped, the same command goes on from the last checkpoints. The result is a folder laid
# out as pipelines/mini: out/train/mini. Weights are the same to the bit on the same machine alone.
# Hours are those of one CPU core that knows bfloat16, reckoned from the time of some steps on a busy
# machine: expect fewer. Where `workers` is 1 a second core draws meanwhile.
set -eu
cd "$(dirname "$0")/../.."

# 1.3 hours au-net: measures AUs; the loss of the VAE looks through the one in pipelines/mini
synthgen train au-net examples/train/au-net.yaml --to out/train/au-net

# 0.2 hours presence: tells faces from pictures without one
synthgen train presence examples/train/presence.yaml --to out/train/presence

# 0.9 hours face-embedder: describes people
synthgen train face-embedder examples/train/face-embedder.yaml --to out/train/face-embedder

# 2.8 hours vae: images to latents and back
synthgen train vae examples/train/vae.yaml --to out/train/vae

# 0.6 hours clip: text and image encoder
synthgen train clip examples/train/clip.yaml --to out/train/clip

# 2.5 hours unet: text to image, with the VAE and CLIP
synthgen train unet examples/train/unet.yaml --to out/train/unet --set vae=out/train/vae/vae --set clip=out/train/clip --set latents=out/train/latents

# 1.8 hours fineface: AU adapter beside the base
synthgen train fineface examples/train/fineface.yaml --to out/train/fineface --set base=out/train/unet/base --set latents=out/train/latents-fineface

# 0.9 hours faceid: face adapter beside the base, the AU adapter and the face embedder
synthgen train faceid examples/train/faceid.yaml --to out/train/faceid --set base=out/train/unet/base --set fineface=out/train/fineface/fineface --set embedder.weights=out/train/face-embedder/face_embedder.safetensors --set latents=out/train/latents-fineface

# a minute: the 200 people of `store: mini`, which is samplers/identities/mini-people.parquet
synthgen faces draw --people 200 --embedder out/train/face-embedder/face_embedder.safetensors --to out/train/mini-people.parquet

mini=out/train/mini
rm -rf "$mini"
mkdir -p "$mini"
cp out/train/au-net/au_network.safetensors out/train/au-net/au_network.json "$mini"
cp out/train/presence/presence.safetensors out/train/presence/presence.json "$mini"
cp out/train/face-embedder/face_embedder.safetensors "$mini"
cp out/train/face-embedder/card.json "$mini/face_embedder.json"
cp -R out/train/unet/base "$mini/base"
cp -R out/train/fineface/fineface "$mini/fineface"
cp -R out/train/faceid/faceid "$mini/faceid"
cp pipelines/mini/sampling.json "$mini" # steps and guidance: chosen, not trained
echo "$mini"

"""Small banks of expressions, made up of addressed random numbers."""

from hashlib import sha256

import numpy as np

from samplers.flame import Bank, BankAbout
from samplers.randomness import normals, uniforms
from synthgen.action_units import DEFAULT_AUS

ABOUT = BankAbout(
    extractor="smirk",
    extractor_fingerprint=f"sha256:{'0' * 64}",
    measurer="libreface",
    measurer_fingerprints={"au_network.safetensors": "1" * 64},
    licences={"smirk": "research only"},
    text="made up",
)


def make_bank(rows=40, seed=0, aus=DEFAULT_AUS, about=ABOUT):
    """Return a bank of faces with some AUs each, at any intensity."""
    levels = uniforms(seed, "aus", 0, rows, len(aus))
    shown = uniforms(seed, "shown", 0, rows, len(aus)) < 0.3
    return bank_of(np.where(shown, 1 + 4 * levels, 0.3 * levels), seed, aus, about)


def bank_around(requests, each=6, seed=0, spread=0.4, aus=DEFAULT_AUS):
    """Return a bank with some faces near each request."""
    near = np.repeat(np.asarray(requests, np.float64), each, axis=0)
    moved = near + spread * normals(seed, "around", 0, len(near), len(aus)) * (near > 0)
    return bank_of(np.clip(moved, 0, 5), seed, aus)


def bank_of(measured, seed=0, aus=DEFAULT_AUS, about=ABOUT):
    """Return a bank whose FLAME numbers follow from its AUs, with some noise."""
    rows = len(measured)
    ways = normals(seed, "ways", 0, len(aus), 50)
    flame = np.empty((rows, 55))
    flame[:, :50] = 0.2 * measured @ ways + 0.05 * normals(seed, "noise", 0, rows, 50)
    flame[:, 50:52] = uniforms(seed, "eyelids", 0, rows, 2)
    flame[:, 52:] = 0.2 * uniforms(seed, "jaw", 0, rows, 3)
    sources = [sha256(f"{seed} {row}".encode()).hexdigest() for row in range(rows)]
    quality = uniforms(seed, "quality", 0, rows, 1)[:, 0]
    return Bank.build(flame, measured, aus, sources, about, quality)

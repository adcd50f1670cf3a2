"""Measuring the AUs of images: LibreFace's network, aligners, published weights."""

from pipelines.libreface.verifier import LibreFaceVerifier

__all__ = ["LibreFaceVerifier"]

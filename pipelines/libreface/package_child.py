"""LibreFace's own package, in a process of the environment where it is installed.

Started by `package_process` with the interpreter of that environment, which may be of another
version and knows nothing of this project: only the standard library, what LibreFace brings, and no
syntax newer than Python 3.9. Its networks are loaded once; for each image it calls what
`libreface.get_facial_attributes_image` calls, so that the numbers are the package's own, rounded to
three decimals as the package rounds them.

Each message is one line of JSON. From standard input:
    {"device": "cpu", "weights": folder, "threads": 1}, once, then for each batch
    {"sizes": [bytes of each PNG]}, followed by the files themselves.
To what standard output was (which becomes standard error, since the package prints to it):
    {"versions": {package: version}, "weights": [file, file]}, once, then for each batch
    {"found": [{"faces": n, "intensities": […], "detections": […], "expression": name}, …]}
    or {"error": sentence}.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import tempfile
import threading
import time

VERSIONED = (
    "libreface",
    "mediapipe",
    "numpy",
    "opencv-python",
    "opencv-contrib-python",
    "pillow",
    "timm",
    "torch",
    "torchvision",
)
"""Distributions that measurements may follow from."""

_TWO_FACES = "'numpy.ndarray' object has no attribute 'append'"
"""Error by which the package (0.2.0) ends on a picture with two faces."""

_NO_FACE = "No face landmarks"
"""Error by which it ends on one without."""


_NETWORKS = {
    "libreface.AU_Recognition.inference": "solver_inference_image_task_combine",
    "libreface.Facial_Expression_Recognition.inference": "solver_inference_image",
}
"""Module of the package → class of its network, which it builds at each call."""


def main():
    """Load the networks, then measure batches until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _end_with_parent()
    asked = json.loads(sys.stdin.buffer.readline())
    package = Package(asked["device"], asked["weights"], asked["threads"])
    _answer(answers, {"versions": versions(), "weights": package.files()})
    while line := sys.stdin.buffer.readline():
        pictures = [sys.stdin.buffer.read(size) for size in json.loads(line)["sizes"]]
        try:
            answer = {"found": [package.measure(picture) for picture in pictures]}
        except Exception as error:  # anything may come out of the package; the parent says it
            answer = {"error": f"{type(error).__name__}: {error}"}
        _answer(answers, answer)


class Package:
    """The package with its networks loaded once.

    Args:
        device: `cpu` or `cuda`, as the package calls them.
        weights: folder in which it keeps its weights; what is missing it fetches.
        threads: threads of torch.
    """

    def __init__(self, device, weights, threads):
        import torch
        from PIL import Image

        if not hasattr(Image, "ANTIALIAS"):  # Pillow 10 took it away; the package shrinks with it
            setattr(Image, "ANTIALIAS", Image.Resampling.LANCZOS)  # noqa: B010 - it is not there
        torch.set_num_threads(threads)
        for name, network in _NETWORKS.items():
            _keep(importlib.import_module(name), network)
        self._libreface = importlib.import_module("libreface")
        self._device = device
        self._weights = weights
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "gray.png")
            Image.new("RGB", (512, 512), "gray").save(path)
            self._attributes(path)

    def files(self):
        """Return the weight files that it has read."""
        names = (
            "AU_Recognition/weights/combined_resnet.pt",
            ("Facial_Expression_Recognition/weights/repvgg.pt"),
        )
        return [os.path.join(self._weights, *name.split("/")) for name in names]

    def measure(self, picture):
        """Measure the face in a PNG; where there are none or two, only their number."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "image.png")
            with open(path, "wb") as file:
                file.write(picture)
            try:
                aligned = self._libreface.get_aligned_image(path, temp_dir=folder)[0]
            except RuntimeError as error:
                if str(error) != _NO_FACE:
                    raise
                return {"faces": 0}
            except AttributeError as error:
                if str(error) != _TWO_FACES:
                    raise
                return {"faces": 2}
            detections, intensities, expression = self._attributes(aligned)
        return {
            "faces": 1,
            "intensities": list(intensities.values()),
            "detections": list(detections.values()),
            "expression": expression,
        }

    def _attributes(self, aligned):
        keys = {"device": self._device, "weights_download_dir": self._weights}
        detections, intensities = self._libreface.get_au_intensities_and_detect_aus(aligned, **keys)
        return detections, intensities, self._libreface.get_facial_expression(aligned, **keys)


def versions():
    """Return the versions of the distributions here that measurements may follow from."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _keep(module, name):
    """Let a class that a module builds at each call be built at the first one alone."""
    build, built = getattr(module, name), []

    def once(options):
        if not built:
            built.append(build(options))
        return built[0]

    setattr(module, name, once)


def _answer(answers, message):
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _end_with_parent():
    """End with the process that started this one, be it in the middle of a batch."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()

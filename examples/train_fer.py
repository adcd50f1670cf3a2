"""Train recognisers of expressions on a dataset, with each kind of label, and compare them.

    synthgen generate examples/quickstart.yaml --set samples=1200
    synthgen generate examples/drawn-faces.yaml --set samples=600 --set seed=99
    python examples/train_fer.py out/mini-faces out/drawn-faces --test-split all

Stopped, the same command goes on from the last whole epoch; what was trained is not trained again.
With several GPUs: accelerate launch examples/train_fer.py …
"""

import argparse

from pipelines.recognition import FerEvaluation, Recipe, train_fer

options = argparse.ArgumentParser(description="Compare the labels of a dataset.")
options.add_argument("dataset", help="dataset that was checked: a folder or URL")
options.add_argument("test", help="dataset or folder of photographs to test on")
options.add_argument("--test-split")
options.add_argument("--model", default="resnet", help="resnet, vit, a folder, or a Hub id")
options.add_argument("--size", type=int)
options.add_argument("--epochs", type=int)
options.add_argument("--seeds", type=int, default=1)
options.add_argument("--models", default="out/evaluate/fer")
given = options.parse_args()

for labels in ("requested", "measured", "soft"):
    settings = FerEvaluation(
        dataset=given.dataset,
        test=given.test,
        test_split=given.test_split,
        labels=labels,
        model=given.model,
        size=given.size,
        epochs=given.epochs,
        seeds=given.seeds,
        recipe=Recipe(threads=2),
    )
    found = train_fer(settings, given.models)
    if found.expressions is None:
        raise SystemExit("the test has no categories")
    accuracy, f1 = found.expressions.accuracy, found.expressions.macro_f1
    print(
        f"{labels:>9}: accuracy {accuracy.estimate.value:.3f} "
        f"({accuracy.estimate.low:.3f} to {accuracy.estimate.high:.3f}), "
        f"macro-F1 {f1.estimate.value:.3f}, seeds {accuracy.spread:.3f} apart"
    )

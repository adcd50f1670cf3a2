"""What the wheel holds, as hatchling would pack it."""

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

REPOSITORY = Path(__file__).parents[1]


def test_the_embedded_weights_and_the_examples_are_in_the_wheel():
    included = WheelBuilder(str(REPOSITORY)).recurse_included_files()
    found = {file.distribution_path for file in included}
    weights = [path for path in REPOSITORY.glob("pipelines/mini/**/*") if path.is_file()]
    assert weights
    assert {path.relative_to(REPOSITORY).as_posix() for path in weights} <= found
    examples = {
        "quickstart.yaml", "drawn-faces.yaml", "fineface-sd21.yaml", "faceid-mini.yaml",
        "arc2face-sd15.yaml",
    }  # fmt: skip
    assert {f"synthgen/examples/{name}" for name in examples} <= found


def test_the_templates_of_the_report_page_are_in_the_wheel():
    included = WheelBuilder(str(REPOSITORY)).recurse_included_files()
    found = {file.distribution_path for file in included}
    names = ("page.html", "page.css", "page.js")
    assert {f"synthgen/report/page/templates/{name}" for name in names} <= found


def test_type_checkers_find_the_types_of_all_four_packages_in_the_wheel():
    included = WheelBuilder(str(REPOSITORY)).recurse_included_files()
    found = {file.distribution_path for file in included}
    packages = ("synthgen", "samplers", "pipelines", "cluster")
    assert {*(f"{name}/py.typed" for name in packages), "synthgen/__init__.pyi"} <= found

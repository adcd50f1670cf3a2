"""The page of an evaluation by the paper's protocol, with its CSV files and figures."""

from pathlib import Path

from pipelines.evaluation.gallery import files_section, write_document
from pipelines.evaluation.outside_statistics import RESAMPLES
from pipelines.evaluation.paper.figures import write_figures
from pipelines.evaluation.paper.prompts import HANDCRAFTED
from pipelines.evaluation.paper.study import PaperResults
from pipelines.evaluation.paper.tables import Table, all_tables
from pipelines.libreface.section import ActionUnitPolicy
from synthgen.action_units import AU_COUNT


def write_report(results: PaperResults, page: Path) -> list[Path]:
    """Write the page, a CSV file for each table, and the figures, all beside one another.

    Returns:
        The files, the page last: where it stands, all others do.

    Raises:
        OutputError: if a file cannot be written.
    """
    tables = all_tables(results, ActionUnitPolicy())
    written = []
    for one in tables:
        path = page.with_name(f"{page.stem}-{one.name}.csv")
        write_document(path, one.csv())
        written.append(path)
    figures = write_figures(results, page)
    write_document(page, _document(results, tables, figures))
    return [*written, *figures.values(), page]


def _document(results: PaperResults, tables: list[Table], figures: dict[str, Path]) -> str:
    pictures = [f"![{caption}]({path.name})\n\n*{caption}.*" for caption, path in figures.items()]
    parts = [
        _head(results),
        *(one.markdown() for one in tables if one.shown),
        "## Figures",
        *pictures,
        _datasets(results),
        files_section(results.files()),
    ]
    return "\n\n".join(parts) + "\n"


def _head(results: PaperResults) -> str:
    settings, main = results.settings, results.main
    prompts = len(results.prompts)
    singles = AU_COUNT * len(settings.levels)
    faceless = "; ".join(f"{judge}: {found.faceless()}" for judge, found in main.measured.items())
    unseen = [
        f"{judge} sees {len(found.sees)} of the {AU_COUNT} AUs ({', '.join(found.sees)}), and its "
        "figures are about these"
        for judge, found in main.measured.items()
        if len(found.sees) < AU_COUNT
    ]
    embedder = results.panel.embedder
    clip = (
        "no CLIP: the base has no image encoder, and --clip names none"
        if embedder is None
        else f"`{embedder.name}`" + ("" if settings.clip else " of the base itself")
    )
    whence = (
        "by hand" if settings.prompts == HANDCRAFTED else f"from `{Path(settings.prompts).name}`"
    )
    lines = [
        "# FineFace by the protocol of its paper",
        "",
        f"Made by `{settings.command()}`.",
        "",
        f"- {prompts} prompts ({whence}), each asked for {AU_COUNT} AUs at {len(settings.levels)} "
        f"intensities ({prompts * singles} images) and for {settings.combinations} combinations of "
        f"2 to 4 AUs ({prompts * settings.combinations} images); all images of a prompt start from "
        "one noise. No check chose any.",
        f"- Judges of AUs: {', '.join(main.measured)}. Images with AUs without a face, by judge: "
        f"{faceless}.",
        *(f"- {one}." for one in unseen),
        f"- CLIP-I by {clip}; the paper names none, and figures by different ones are not "
        "comparable.",
        f"- LoRA at scale {settings.lora_scales[0]:g}, unless a table says otherwise.",
        f"- Intervals are 95 % of {RESAMPLES:,} bootstrap draws of prompts, with all their images.",
        "- *Its neutral face*: judged against what was asked for, what doing nothing would give.",
    ]
    return "\n".join(lines)


def _datasets(results: PaperResults) -> str:
    lines = [
        f"- {row.run.label}: `{Path(row.run.config.output.path).name}`"
        for row in (*results.rows, results.plain)
    ]
    said = "The images are ordinary datasets, a folder each, beside one another:"
    return "\n".join(["## Datasets", "", said, "", *dict.fromkeys(lines)])

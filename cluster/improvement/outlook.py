"""Outlook on a loop before it is run: what would be made, trained and tested on."""

from pathlib import Path

from cluster.improvement.aim import LEAST, check_can_aim
from cluster.improvement.exams import count_categories
from cluster.improvement.ledger import Ledger, aim_table
from cluster.improvement.loop import Improvement
from pipelines.recognition.examples import Selection, category_order
from synthgen.dataset import layout, reached
from synthgen.foreign import counted


def describe_outlook(settings: Improvement, to: Path) -> str:
    """Say what a loop would do next and at most; nothing is made, trained or written.

    Raises:
        ConfigError, DatasetError, OutputError: as `improve`.
    """
    check_can_aim(settings.config)
    exams = settings.open_exams()
    ledger = Ledger.open(to, settings.made_of())
    config, rounds = settings.config, settings.rounds
    there = reached(config.output.path).exists(layout.RUN)
    arms = 2 if settings.control else 1
    trainings = settings.training.seeds * (1 + rounds * arms)
    made = arms * rounds * settings.samples
    said = "there already, or begun" if there else "to be made"
    lines = [
        f"first     {config.output.path}: {counted(config.samples, 'sample')}, {said}",
        f"rounds    {rounds} at most, {counted(settings.samples, 'sample')} each, to {to}/round-n",
    ]
    if settings.control:
        lines.append(f"control   as many of the unchanged prior, to {to}/control-n")
    lines += [
        f"in all    {counted(made, 'sample')} at most beside the first; "
        f"{counted(trainings, 'training')} at most",
        f"test      {_said(exams.test)}",
    ]
    few = [n for n, pictures in count_categories(exams.test).items() if pictures < LEAST]
    if few:
        lines.append(f"          fewer than {LEAST} pictures, share not moved: {', '.join(few)}")
    if exams.test.source.aus:
        lines.append("          AU levels and slots are looked at, too")
    else:
        lines.append("          it names no AUs and no slots: categories alone are looked at")
    lines.append(
        f"holdout   {_said(exams.holdout)}"
        if exams.holdout is not None
        else "holdout   none: no figure is untouched by the loop's choices"
    )
    done = [one for one in ledger.data["rounds"] if "test" in one["arms"].get("round", {})]
    if done:
        lines.append(f"done      {counted(len(done), 'training')} of rounds: {to}/ledger.md")
    asked = [one for one in ledger.data["rounds"] if one.get("aim") and one not in done]
    lines += [f"\nround {one['number']} is written:\n\n{aim_table(one)}" for one in asked]
    return "\n".join(lines)


def _said(selection: Selection) -> str:
    counts = count_categories(selection)
    each = ", ".join(f"{name} {counts[name]}" for name in category_order(list(counts)))
    pictures = counted(len(selection.places), "picture")
    return f"{selection.source.name}, split {selection.split}: {pictures} ({each})"

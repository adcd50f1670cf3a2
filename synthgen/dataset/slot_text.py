"""Findings on slots in words: a line and a table for reports, a section for cards."""

from synthgen.dataset.by_slot import MOST_VALUES, RAISED, TIED, SlotFindings, Tie
from synthgen.dataset.markdown import percent, table
from synthgen.dataset.proportions import chance_phi, rows_for
from synthgen.foreign import counted

_SHOWN = 20
"""Ties, and raised AUs, that are shown at most."""


def slots_line(found: SlotFindings) -> list[str]:
    """Say in one line how often images show what slots name; nothing where nobody has looked."""
    shares = [f"{slot} {share.text()}" for slot, share in found.slots.items()]
    return [f"slots shown as asked: {', '.join(shares)}"] if shares else []


def slots_table(found: SlotFindings) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table of the values: kept, and right where somebody has read."""
    read, tried = bool(found.slots), any(each.first.total for each in found.values)
    head = ["identity slot", "value", "samples"]
    head += ["first attempts kept (95 %)"] * tried + ["shown as asked (95 %)"] * read
    rows = [
        [
            each.slot,
            repr(each.value),
            str(each.rows),
            *([each.first.text()] * tried),
            *([each.right.text()] * read),
        ]
        for each in found.values
    ]
    return head, rows if read or tried else []


def slot_sentences(found: SlotFindings) -> list[str]:
    """Say whose first attempts are kept unequally often, and which values are tied to AUs."""
    lines = []
    if any(each.first.total for each in found.values):
        lines += [
            f"{each.name} differs from the slot's other values: {each.first.text()} of its first "
            f"attempts were kept, {each.others.text()} of theirs"
            for each in found.unequal
        ] or ["no slot value's first attempts are kept more or less often than the others'"]
    lines += [
        f"{each.au} is measured above {RAISED:g} without being asked for in {each.mine.text()} of "
        f"the first attempts at {each.name}, in {each.others.text()} of the slot's other values"
        for each in found.raised[:_SHOWN]
    ]
    if found.unknown:
        lines.append(
            f"{counted(found.unknown, 'sample')} without a row have identities of whom no other "
            "row tells the slots; their first attempts are not counted"
        )
    if found.left_out:
        lines.append(f"more than {MOST_VALUES} values, not counted: {', '.join(found.left_out)}")
    return lines + _tie_sentences(found)


def _tie_sentences(found: SlotFindings) -> list[str]:
    if not found.ties:
        return []
    strong = [tie for tie in found.ties if abs(tie.phi) >= TIED]
    shown = [tie for tie in strong if found.beyond_chance(tie)][:_SHOWN]
    lines = [_describe(tie) for tie in shown]
    more = sum(found.beyond_chance(tie) for tie in strong) - len(shown)
    if more:
        lines.append(f"… and {more} more pairs of a slot value and an AU")
    rows = min(tie.rows for tie in found.ties)
    least = min(chance_phi(rows, len(found.ties)), 1.0)
    if not shown:
        lines.append(
            f"no slot value is tied to an AU (|φ| ≥ {max(TIED, least):.2f}, "
            f"{len(found.ties)} pairs); the strongest: {_describe(found.ties[0])}"
        )
    if least > TIED:
        lines.append(
            f"|φ| below {least:.2f} cannot be told from chance in so few rows; "
            f"{TIED:g} takes about {rows_for(TIED, len(found.ties))}"
        )
    return lines


def _describe(tie: Tie) -> str:
    value = f"{tie.name} {'as read' if tie.read else 'as asked'}"
    au = f"{tie.au} {'measured' if tie.measured else 'asked for'}"
    return f"{value} stands with {au} {'more' if tie.phi > 0 else 'less'} often: φ = {tie.phi:+.2f}"


def slots_section(found: SlotFindings) -> list[str]:
    """Write the section of a card; nothing without slots."""
    if not found.values:
        return []
    head, rows = slots_table(found)
    parts = []
    if shares := found.slots:
        said = ", ".join(f"`{slot}` {percent(share.share)}" for slot, share in shares.items())
        parts.append(
            f"Rows that show what the slot names, by what a check has read in the image: {said}."
        )
    if rows:
        parts.append(table(head, rows))
    if sentences := slot_sentences(found):
        parts.append("\n".join(f"- {line[0].upper()}{line[1:]}." for line in sentences))
    return ["\n\n".join(["## Identity slots", *parts])] if parts else []

"""Ledger of a loop: what was made for what and why, and what it brought, as JSON and as a page."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.training.files import write_text_whole, writing
from synthgen.dataset.markdown import number, percent, table
from synthgen.errors import ConfigError, OutputError
from synthgen.foreign import counted, excerpt, shown

IMPROVED, CONTROL = "round", "control"
"""Arms: with the shares of what is confused, and as many images without them."""

LEDGER, PAGE = "ledger.json", "ledger.md"

RULE = (
    "The gain of a round is the accuracy on the test less that of the best round before, on the "
    "same pictures and seeds. Its 95 % interval is value ± 1.96 · √(s_p² + s_s²/S): s_p over draws "
    "of the people of the test, s_s over the S seeds (of one seed it is not known). A gain shows "
    "where the whole interval lies above 0."
)


class Ledger:
    """The ledger of a loop in its folder.

    Args:
        folder: the folder of the loop.
        data: what is known, as it is written.
    """

    def __init__(self, folder: Path, data: dict[str, Any]) -> None:
        self._folder = folder
        self.data = data

    @classmethod
    def open(cls, folder: Path, made_of: Mapping[str, Any]) -> "Ledger":
        """Open the ledger of a loop, or begin one; nothing is written yet.

        Raises:
            ConfigError: if the folder holds a loop of something else.
            OutputError: if its ledger cannot be read.
        """
        wanted = json.loads(json.dumps(made_of))
        found = cls.read(folder)
        if found is None:
            return cls(folder, {"made_of": wanted, "rounds": [], "ended": None})
        if (difference := _difference(found.data.get("made_of"), wanted)) is not None:
            key, before, now = difference
            raise ConfigError(
                f"{folder} holds a loop whose {key} is {shown(before)}; now it is {shown(now)}: "
                "take another --to"
            )
        return found

    @classmethod
    def read(cls, folder: Path) -> "Ledger | None":
        """Read the ledger of a folder; None where there is none.

        Raises:
            OutputError: if it cannot be read.
        """
        path = folder / LEDGER
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{excerpt(path)} cannot be read ({error}); delete it, and the same command finds "
                "again what was made"
            ) from error
        if not isinstance(data, dict) or not isinstance(data.get("rounds"), list):
            raise OutputError(f"{excerpt(path)} is no ledger of `synthgen improve`")
        return cls(folder, data)

    def find(self, number: int) -> dict[str, Any] | None:
        """Return what is known of a round; None where nothing is."""
        return next((one for one in self.data["rounds"] if one["number"] == number), None)

    def round(self, number: int) -> dict[str, Any]:
        """Return what is known of a round, to be added to."""
        if (found := self.find(number)) is None:
            found = {"number": number, "aim": None, "arms": {}}
            self.data["rounds"].append(found)
        return found

    def arm(self, number: int, name: str) -> dict[str, Any]:
        """Return what is known of an arm of a round, to be added to."""
        return self.round(number)["arms"].setdefault(name, {})

    def end(self, why: str | None) -> None:
        """Note why the loop ended, or that it goes on."""
        self.data["ended"] = why
        self.save()

    def save(self) -> None:
        """Write the ledger and its page, each whole or not at all.

        Raises:
            OutputError: if one cannot be written.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_plain(self.data), indent=1)
        write_text_whole(self._folder / LEDGER, text + "\n")
        write_text_whole(self._folder / PAGE, page(self.data))


def describe(ledger: Ledger) -> str:
    """Return the table of the rounds and why the loop ended, for the terminal."""
    return f"{_rounds_table(ledger.data)}\n\n{_ended(ledger.data)}"


def page(data: Mapping[str, Any]) -> str:
    """Write the page of a ledger."""
    made_of = data["made_of"]
    parts = [
        f"# What is confused, and images made for it: {made_of['configuration']['name']}",
        _head(data),
        "## Rounds\n\n" + _rounds_table(data) + f"\n\n{_ended(data)}\n\n{RULE}",
    ]
    parts += [_aim_section(entry) for entry in data["rounds"] if entry.get("aim")]
    return "\n\n".join(parts) + "\n"


def aim_table(entry: Mapping[str, Any]) -> str:
    """Write what a round asks for."""
    aim = entry["aim"]
    made = entry["arms"].get(IMPROVED, {}).get("purposes", {})
    rows = []
    for cell in aim["cells"]:
        name = cell["category"]
        name += f", {cell['au']} {cell['levels']}" if cell["au"] else ""
        kept = made.get(name, "–")
        rows.append([name, percent(cell["usual"]), percent(cell["share"]), kept, cell["why"]])
    for slot in aim["slots"]:
        name = f"{slot['slot']} {slot['value']!r}"
        kept = made.get(name, "–")
        rows.append([name, percent(slot["usual"]), percent(slot["share"]), kept, slot["why"]])
    return table(["cell", "usual share", "share asked", "images kept", "why"], rows)


def _head(data: Mapping[str, Any]) -> str:
    made_of = data["made_of"]
    lines = []
    for key, said in (
        ("test", "Tested on, and chosen by"),
        ("holdout", "Kept out of all choices"),
    ):
        if one := data.get(key):
            people = f" of {counted(one['people'], 'person', 'people')}" if one["people"] else ""
            lines.append(
                f"- {said}: {counted(one['pictures'], 'picture')}{people} of {one['name']} "
                f"({one['kind']}, split {one['split']})."
            )
    control = "as many images of the unchanged prior beside" if made_of["control"] else "no control"
    seeds = counted(made_of["training"]["seeds"], "training")
    lines.append(
        f"- {made_of['samples']} samples a round, {seeds} each, {control}; "
        f"{percent(made_of['focus'])} of a round goes where confusions are."
    )
    lines.append(
        "- The test chose what was made and when to stop, so its figures are those of a validation "
        "set: a little too good. Only the holdout's are not."
    )
    return "\n".join(lines)


def _rounds_table(data: Mapping[str, Any]) -> str:
    control = bool(data["made_of"]["control"])
    held = bool(data.get("holdout"))
    head = ["round", "images learned", "accuracy", "95 %", "over seeds (sd)", "F1", "gain"]
    head += ["holdout"] if held else []
    head += ["control", "over control"] if control else []
    head += ["holdout over control"] if control and held else []
    rows = []
    for entry in data["rounds"]:
        arm = entry["arms"].get(IMPROVED, {})
        if "test" not in arm:
            continue
        accuracy = arm["test"]["accuracy"]
        low, high = accuracy["estimate"]["low"], accuracy["estimate"]["high"]
        row = [
            entry["number"],
            arm["learned"],
            percent(accuracy["estimate"]["value"]),
            f"{percent(low)} to {percent(high)}",
            percent(accuracy["spread"]),
            number(arm["test"]["macro_f1"]["estimate"]["value"]),
            _points(entry.get("gain")),
        ]
        row += [_accuracy(arm, "holdout")] if held else []
        if control:
            row += [_accuracy(entry["arms"].get(CONTROL, {}), "test")]
            row += [_points(entry.get("over_control"))]
            row += [_points(entry.get("holdout_over_control"))] if held else []
        rows.append(row)
    return table(head, rows)


def _aim_section(entry: Mapping[str, Any]) -> str:
    arm = entry["arms"].get(IMPROVED, {})
    where = arm.get("configuration") or f"round-{entry['number']}/config.yaml"
    left_out = "".join(f"\n- not asked for: {text}" for text in entry["aim"]["left_out"])
    made = (
        f"{counted(arm['samples'], 'sample')} from {counted(arm['images'], 'image')}; each is "
        f"listed with its cell in `round-{entry['number']}/images.csv`."
        if arm.get("made")
        else "Not made yet."
    )
    return f"## Made in round {entry['number']}\n\n`{where}`. {made}\n\n{aim_table(entry)}" + (
        f"\n{left_out}" if left_out else ""
    )


def _ended(data: Mapping[str, Any]) -> str:
    return (
        f"Ended {data['ended']}." if data.get("ended") else "Not ended: the same command goes on."
    )


def _accuracy(arm: Mapping[str, Any], exam: str) -> str:
    return percent(arm[exam]["accuracy"]["estimate"]["value"]) if exam in arm else "–"


def _points(gain: Mapping[str, Any] | None) -> str:
    if not gain:
        return "–"
    value, low, high = (100 * gain[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _difference(before: Any, now: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Return the first key that differs, and its two values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*now, *before]):
            found = _difference(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
            if found is not None:
                return found
        return None
    return None if before == now else (key, before, now)


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it: null in place of NaN."""
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Numbers for people to read."""

_STEP = 1000.0


def in_bytes(size: float) -> str:
    """Write a number of bytes in the largest unit that leaves a digit before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} TB"


def in_time(seconds: float) -> str:
    """Write a time in the two units that say most about it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86400:.0f} days {seconds % 86400 // 3600:.0f} h"


def in_digits(value: float) -> str:
    """Write a number with two digits, or all that stand before the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"

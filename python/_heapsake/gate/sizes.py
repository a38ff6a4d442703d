"""Sizes in bytes, as people write them and as they read them."""

import re

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS.update({unit + tail: 1 << (10 * power) for power, unit in enumerate("KMGT", 1) for tail in ("", "IB")})
WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*\Z")


def parse_size(value):
    """20000000 for "20 MB", 20971520 for "20 MiB" and "20M", as the command line has it; numbers are bytes. ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = WRITTEN.match(value) if isinstance(value, str) else None
    if not match or match.group(2).upper() not in UNITS:
        raise ValueError(f'{value!r} is no size: write bytes, or "20 MB" or "20 MiB"')
    return int(float(match.group(1)) * UNITS[match.group(2).upper()])


def format_size(size):
    """As heapsake's reports write it."""
    if size < 1024:
        return f"{size} B"
    unit = -1
    size = float(size)
    while size >= 1024 and unit < 3:
        size /= 1024
        unit += 1
    digits = 2 if size < 10 else 1 if size < 100 else 0
    return f"{size:.{digits}f} {'KMGT'[unit]}iB"


def plural(count, word):
    return f"{count:,} {word}{'' if count == 1 else 's'}"

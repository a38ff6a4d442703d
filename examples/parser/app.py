"""A service that reads settings; one line in five is no good. It grows. docs/REFCOUNTS.md finds out why."""

import random

import lines


class Entry:
    def __init__(self, name, value):
        self.name, self.value = name.strip(), value.strip()

    def check(self):
        if not self.value:
            raise ValueError(f"{self.name} has no value")


def read(line):
    try:
        return lines.parse(line, Entry)
    except ValueError:
        return None


def main():
    chance = random.Random(1)
    good = 0
    for number in range(20000):
        line = f"setting{number}" + ("" if chance.random() < 0.2 else f" = {number}")
        good += read(line) is not None
    print(good, "settings read")


if __name__ == "__main__":
    main()

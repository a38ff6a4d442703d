"""Floats and tuples that are made in the memory of dead ones, each in a function of its own name."""


def first_floats(count):
    return [number * 0.5 for number in range(count)]


def second_floats(count):
    return [number * 0.5 for number in range(count)]


def first_tuples(count):
    return [(number, count) for number in range(count)]


def second_tuples(count):
    return [(number, count) for number in range(count)]


count = 60
first_floats(count)
floats = second_floats(count)
first_tuples(count)
tuples = second_tuples(count)
print(count)

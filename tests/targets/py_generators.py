"""Generators, coroutines, async generators, exceptions through them, and asyncio."""

import asyncio
import contextlib


def numbers(count):
    for number in range(count):
        yield [number] * 10


def chain(*parts):
    for part in parts:
        yield from part


async def step(number):
    await asyncio.sleep(0)
    return {"number": number, "list": [number] * 5}


async def stream(count):
    for number in range(count):
        yield await step(number)


@contextlib.contextmanager
def scope(log):
    log.append("in")
    try:
        yield log
    finally:
        log.append("out")


async def main():
    seen = 0
    async for item in stream(300):
        seen += item["number"]
    results = await asyncio.gather(*(step(number) for number in range(500)))
    return seen, len(results)


total = sum(len(part) for part in chain(numbers(2000), numbers(3000)))
log = []
for number in range(500):
    with contextlib.suppress(ValueError), scope(log):
        if number % 3 == 0:
            raise ValueError(number)
abandoned = [numbers(5) for _ in range(100)]
for generator in abandoned:
    next(generator)
del abandoned, generator
print(total, len(log), asyncio.run(main()))

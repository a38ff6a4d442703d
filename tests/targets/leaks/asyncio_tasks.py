"""Tasks that wait for a reply which never comes, and which nobody awaits; the same with a reply."""

import asyncio

from leak_workload import requests, tell, variant

REPLIES = {}


class Call:
    def __init__(self, number):
        self.number = number
        self.payload = f"payload of {number} " * 10


def make_call(number):
    return Call(number)


async def wait_for_reply(call, future):
    return call.number, await future


async def main(how):
    loop = asyncio.get_running_loop()
    count = 0
    for number in requests(400):
        future = REPLIES[number] = loop.create_future()
        task = loop.create_task(wait_for_reply(make_call(number), future))
        count += 1
        await asyncio.sleep(0)
        if how == "answered":
            REPLIES.pop(number).set_result(None)
            assert (await task)[0] == number
    if how == "never_awaited":
        tell("growing", make_call, or_cause="held", type="__main__.Call",
             parts=["_asyncio.Task", "_asyncio.Future", "coroutine"], count=count, holder="REPLIES")
    else:
        tell()


HOW = variant("never_awaited", "answered")
LOOP = asyncio.new_event_loop()
LOOP.set_exception_handler(lambda loop, context: None)  # at the interpreter's end each pending task complains
LOOP.run_until_complete(main(HOW))

"""Requests that wait for the same commit, on an event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from journeymesh.services.http.waking import Waking


def test_all_who_wait_for_a_commit_go_on_when_another_thread_ends_it() -> None:
    async def waited() -> None:
        waking, commit = Waking(), Future[None]()
        waiting = [asyncio.ensure_future(waking.until(commit)) for _ in range(20)]
        await asyncio.sleep(0)
        threading.Thread(target=commit.set_result, args=(None,)).start()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await asyncio.wait_for(waking.until(commit), 5)  # it is done already

    asyncio.run(waited())


def test_who_is_cancelled_leaves_the_others_waiting() -> None:
    async def waited() -> None:
        waking, commit = Waking(), Future[None]()
        one, other = (asyncio.ensure_future(waking.until(commit)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        assert one.cancelled()
        assert not other.done()
        commit.set_result(None)
        await asyncio.wait_for(other, 5)

    asyncio.run(waited())


def test_a_commit_that_fails_fails_all_who_wait() -> None:
    async def waited() -> None:
        waking, commit = Waking(), Future[None]()
        waiting = [asyncio.ensure_future(waking.until(commit)) for _ in range(3)]
        await asyncio.sleep(0)
        commit.set_exception(OSError("no disk"))
        for each in waiting:
            with pytest.raises(OSError, match="no disk"):
                await asyncio.wait_for(each, 5)

    asyncio.run(waited())

"""A WebSocket echo server, and a client that tries it.

    websocket.py serve            listens on any free port of 127.0.0.1 and prints it
    websocket.py talk ADDRESS     exits 0 if all that it tries goes well
"""

import asyncio
import os
import sys

import websockets

LIMIT = 4 << 20
OPTIONS = {"compression": None, "max_size": LIMIT, "ping_interval": None}


async def echo(socket):
    """Sends everything back; on "close CODE REASON" closes so; prints the code with which the client closed."""
    try:
        async for message in socket:
            if message == "ping me":
                await asyncio.wait_for(await socket.ping(b"from the server"), 20)
                await socket.send("pong came")
            elif isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await socket.close(int(code), reason)
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        pass
    print("closed", socket.close_code, socket.close_reason, flush=True)


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, **OPTIONS) as server:
        print("port", list(server.sockets)[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def talk(address):
    async with websockets.connect("ws://" + address, **OPTIONS) as socket:
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            for message in (os.urandom(size), os.urandom((size + 1) // 2).hex()[:size]):
                await socket.send(message)
                assert await socket.recv() == message, f"{type(message).__name__} of {size}"
        many = [str(i) * (i % 50) for i in range(1000)]
        for message in many:
            await socket.send(message)
        for message in many:
            assert await socket.recv() == message, "one of many"
        await asyncio.wait_for(await socket.ping(b"from the client"), 20)
        await socket.send("ping me")
        assert await socket.recv() == "pong came"
        await socket.send("close 4321 as you like")
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (4321, "as you like"), socket.close_code
    async with websockets.connect("ws://" + address, **OPTIONS) as socket:
        await socket.close(4000, "enough")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        asyncio.run(asyncio.wait_for(talk(sys.argv[2]), 50))

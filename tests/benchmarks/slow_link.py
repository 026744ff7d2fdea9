"""A TCP proxy that delays all data, as a network does: ``python slow_link.py PORT MILLISECONDS`` (each way).

Prints the port of 127.0.0.1 where it listens, and runs until it is ended.
"""

import asyncio
import contextlib
import sys
from asyncio import StreamReader, StreamWriter


async def pass_on(reader: StreamReader, writer: StreamWriter, delay_s: float) -> None:
    """Forwards data, each piece ``delay_s`` after it arrived."""
    clock = asyncio.get_running_loop().time
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        piece = b"-"
        while piece:
            piece = await reader.read(2**18)
            await pieces.put((clock() + delay_s, piece))

    taking = asyncio.create_task(take())
    with contextlib.suppress(OSError):
        while (due := await pieces.get())[1]:
            await asyncio.sleep(max(0.0, due[0] - clock()))
            writer.write(due[1])
            await writer.drain()
    taking.cancel()
    writer.close()


async def main(port: int, delay_s: float) -> None:
    """Runs the proxy."""

    async def accept(reader: StreamReader, writer: StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, behind[1], delay_s), pass_on(behind[0], writer, delay_s))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))

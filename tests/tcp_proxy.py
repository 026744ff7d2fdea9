"""A TCP proxy for tests that stalls, resets, truncates or slows down a server's answers."""

import contextlib
import socket
import struct
import threading
import time


class Proxy:
    """Passes connections on to a port, with a fault.

    Parameters
    ----------
    port
        Of the server behind.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        #: pass; stall (no answer), reset (RST amid the answer), cut (FIN amid the answer), slow (in small pieces).
        self.fault = "pass"
        #: Connections that the fault meets; later ones pass. None: all.
        self.times: int | None = None
        #: Bytes of an answer that come through before it breaks.
        self.bytes = 400
        self.connections = 0
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.connections += 1
        fault = self.fault
        if self.times is not None:
            fault, self.times = (fault, self.times - 1) if self.times > 0 else ("pass", 0)
        with client, socket.create_connection(self._target) as server:
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            with contextlib.suppress(OSError):
                self._answer(client, server, fault)

    def _answer(self, client: socket.socket, server: socket.socket, fault: str) -> None:
        sent = 0
        while data := server.recv(4096):
            if fault == "stall":
                self._closing.wait()
                return
            if fault in ("reset", "cut") and sent + len(data) > self.bytes:
                client.sendall(data[: max(0, self.bytes - sent)])
                if fault == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    client.shutdown(socket.SHUT_RDWR)
                return
            if fault == "slow":
                time.sleep(0.004)
            client.sendall(data)
            sent += len(data)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

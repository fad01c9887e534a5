"""The floor of small requests: one after the other over one connection, by bare sockets."""
import socket
import time
import re


class Connection:
    """Keep-alive, anonymous. Each request returns (seconds to its first byte, seconds in all, body)."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path, first=None, last=None):
        wanted = "" if first is None else f"Range: bytes={first}-{last}\r\n"
        began = time.perf_counter()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{wanted}\r\n".encode())
        data = self.socket.recv(65536)
        first_byte = time.perf_counter() - began
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(head.decode(errors="replace").splitlines()[0])
        length = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])
        pieces, have = [body], len(body)
        while have < length:
            pieces.append(self._more())
            have += len(pieces[-1])
        return first_byte, time.perf_counter() - began, b"".join(pieces)

    def _more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data

    def pages(self, bucket, prefix):
        """Lists what begins with the prefix; seconds of each page."""
        query, token, took = f"/{bucket}?list-type=2&delimiter=%2F&prefix={prefix}", "", []
        while token is not None:
            _, seconds, body = self.get(query + token)
            took.append(seconds)
            found = re.search(rb"<NextContinuationToken>([^<]*)<", body)
            token = None if not found else "&continuation-token=" + quote(found[1].decode())
        return took

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.socket.close()


def quote(text):
    return "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in text)


def middle(values):
    return sorted(values)[len(values) // 2]

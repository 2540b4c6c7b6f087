"""A way to a server that counts the requests that go over it, by their methods, and the bytes of their bodies and of the answers."""

import collections
import queue
import socket
import socketserver
import threading
import urllib.parse


class Stream:
    """One direction of a connection, read message by message."""

    def __init__(self, source, target):
        self.source, self.target, self.held = source, target, b""

    def more(self):
        """Bytes that are there or come next, passed on; none at the end."""
        got = self.source.recv(1 << 18)
        self.target.sendall(got)
        return got

    def head(self):
        """The lines of the next head; `None` at the end."""
        while b"\r\n\r\n" not in self.held:
            got = self.more()
            if not got:
                return None
            self.held += got
        head, self.held = self.held.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def skip(self, count):
        while len(self.held) < count:
            count -= len(self.held)
            self.held = self.more()
            if not self.held:
                return
        self.held = self.held[count:]

    def line(self):
        while b"\r\n" not in self.held:
            got = self.more()
            if not got:
                return b""
            self.held += got
        line, self.held = self.held.split(b"\r\n", 1)
        return line

    def body(self, headers):
        """Reads over a body. How many bytes it had."""
        if "chunked" not in headers.get("transfer-encoding", ""):
            length = int(headers.get("content-length", 0))
            self.skip(length)
            return length
        total = 0
        while length := int(self.line().split(b";")[0] or b"0", 16):
            total += length
            self.skip(length + 2)
        self.skip(2)
        return total


class Counted:
    """Listens in place of `endpoint`, an address of plain HTTP."""

    def __init__(self, endpoint):
        given = urllib.parse.urlsplit(endpoint)
        self.lock, self.counts, self.sent, self.got = threading.Lock(), collections.Counter(), 0, 0
        counted = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection((given.hostname, given.port)) as server:
                    for each in (self.request, server):
                        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    methods = queue.SimpleQueue()
                    back = threading.Thread(target=counted.answers, args=(Stream(server, self.request), methods))
                    back.start()
                    counted.requests(Stream(self.request, server), methods)
                    back.join()

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 128

        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.listener.server_address[1]}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def requests(self, stream, methods):
        try:
            while head := stream.head():
                method = head[0].split(" ", 1)[0]
                methods.put(method)
                length = stream.body(head[1])
                with self.lock:
                    self.counts[method] += 1
                    self.sent += length
            stream.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def answers(self, stream, methods):
        try:
            while head := stream.head():
                # `100 Continue` and its like precede the answer.
                if head[0].split(" ")[1].startswith("1"):
                    continue
                has_body = methods.get(timeout=60) != "HEAD" and head[0].split(" ")[1] not in ("204", "304")
                length = stream.body(head[1]) if has_body else 0
                with self.lock:
                    self.got += length
            stream.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take(self):
        """What was counted since the last time: requests, bytes sent, bytes got."""
        with self.lock:
            taken = sum(self.counts.values()), self.sent, self.got
            self.counts.clear()
            self.sent = self.got = 0
        return taken

    def stop(self):
        self.listener.shutdown()
        self.listener.server_close()

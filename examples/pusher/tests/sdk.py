"""The official Python server library against the HTTP API. Usage: sdk.py ADDRESS PORT, with the app
1:app-key:app-secret, whose webhooks go to the port here."""

import json
import queue
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pusher
from pusher.errors import PusherBadAuth, PusherBadRequest

host, port = sys.argv[1].split(":")


def client(secret="app-secret", key="app-key"):
    return pusher.Pusher(app_id="1", key=key, secret=secret, host=host, port=int(port), ssl=False)


def refused(error, request, *arguments, **options):
    try:
        request(*arguments, **options)
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


sdk = client()
assert sdk.trigger("news", "greet", {"text": "good day"}) == {}
assert sdk.trigger(["news", "private-room"], "greet", "text", socket_id="1.1") == {}
answer = sdk.trigger_batch([{"channel": "news", "name": "greet", "data": "x"}, {"channel": "b", "name": "c", "data": "d"}])
assert answer == {}, answer
print("sdk: triggers events and batches")

assert sdk.channels_info() == {"channels": {}}
assert sdk.channels_info(prefix_filter="presence-", attributes=["user_count"]) == {"channels": {}}
assert sdk.channel_info("presence-room", ["user_count"]) == {"occupied": False, "user_count": 0}
assert sdk.users_info("presence-room") == {"users": []}
print("sdk: reads channels and users")

refused(PusherBadAuth, client(secret="wrong").trigger, "news", "greet", {})
refused(PusherBadAuth, client(key="unknown").trigger, "news", "greet", {})
refused(PusherBadRequest, sdk.channel_info, "news", ["user_count"])
refused(PusherBadRequest, sdk.users_info, "news")
print("sdk: wrong signatures and requests are refused")

# The library's signatures, as documented: the unit tests of `auth` have the same for the server.
documented = pusher.Pusher(app_id="1", key="278d425bdf160c739803", secret="7ad3773142a6692b25b8")
auth = documented.authenticate(channel="private-foobar", socket_id="1234.1234")
assert auth["auth"] == "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4", auth
print("sdk: signs as documented")

# A webhook that the server signs is accepted by the library: a socket of this file subscribes, and causes it.
posted = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posted.put((self.headers["X-Pusher-Key"], self.headers["X-Pusher-Signature"], body.decode()))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def expect(name, channel):
    """Waits for the event. Those of earlier clients may come first."""
    while True:
        key, signature, body = posted.get(timeout=60)
        webhook = sdk.validate_webhook(key, signature, body)
        assert webhook is not None, body
        assert sdk.validate_webhook(key, signature, body + " ") is None
        assert client(secret="wrong").validate_webhook(key, signature, body) is None
        if (name, channel) in [(event["name"], event["channel"]) for event in webhook["events"]]:
            return


receiver = HTTPServer(("127.0.0.1", int(sys.argv[2])), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
text = json.dumps({"event": "pusher:subscribe", "data": {"channel": "of-the-library"}}).encode()
with socket.create_connection((host, int(port)), timeout=60) as client_socket:
    client_socket.sendall(
        f"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    # A masked text frame, with a mask of zeros.
    client_socket.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    expect("channel_occupied", "of-the-library")
expect("channel_vacated", "of-the-library")
print("sdk: accepts a webhook")
print("sdk: all passed")

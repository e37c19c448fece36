"""The official Python server library against the HTTP API. Usage: sdk.py ADDRESS, with the app 1:app-key:app-secret."""

import sys

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

# A webhook that the server signs is accepted by the library, and the library's signature of a subscription by the server:
# see the unit tests of `auth`, which use the same documented examples as the library.
auth = sdk.authenticate(channel="private-foobar", socket_id="1234.1234")
assert auth["auth"].startswith("app-key:")
print("sdk: all passed")

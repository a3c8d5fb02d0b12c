"""Lies that a Hub, a mirror or a proxy may tell: each a Fault, named, made from the true answer."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from tests.hub.content import Repo, as_json
from tests.hub.records import Fault

ALWAYS = 10**6
EVIL = "../../../../x/evil.pth"

# Each of these takes as long as the limit that ends it.
SLOW = ("one byte a second", "headers without end")

Change = Callable[[dict[str, Any]], Any]


def _set(**values: Any) -> Change:
    return lambda info: {**info, **values}


def _first(**values: Any) -> Change:
    """Another first file of the listing."""

    def change(info: dict[str, Any]) -> dict[str, Any]:
        first, *rest = info["siblings"]
        return {**info, "siblings": [{**first, **values}, *rest]}

    return change


def _stored(**values: Any) -> Change:
    """Another first file of those that are kept outside of git."""

    def change(info: dict[str, Any]) -> dict[str, Any]:
        changed = copy.deepcopy(info)
        next(one for one in changed["siblings"] if "lfs" in one)["lfs"].update(values)
        return changed

    return change


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


# What the API says of a repository, as something else than it is.
ABOUT_REPOSITORY: Mapping[str, Change] = {
    "a list for the object": lambda info: [info],
    "null": lambda _info: None,
    "a number": lambda _info: 7,
    "an empty object": lambda _info: {},
    "no commit": _set(sha=None),
    "a commit that is a path": _set(sha=EVIL),
    "another commit": _set(sha="f" * 40),
    "files that are an object": _set(siblings={"rfilename": "x"}),
    "files that are null": _set(siblings=None),
    "files that are numbers": _set(siblings=[1, 2]),
    "200,000 files": lambda info: {
        **info,
        "siblings": [{"rfilename": f"{n}.json", "size": 1} for n in range(200_000)],
    },
    "a path outside": _first(rfilename="../evil"),
    "an absolute path": _first(rfilename="/evil"),
    "a path with a half surrogate": _first(rfilename="\ud800.json"),
    "a name of 5,000 characters": _first(rfilename="x" * 5000),
    "no path": _first(rfilename=None),
    "a file twice": lambda info: {**info, "siblings": info["siblings"] * 2},
    "a file that is a folder too": lambda info: {
        **info,
        "siblings": [
            *info["siblings"],
            {**info["siblings"][0], "rfilename": info["siblings"][0]["rfilename"] + "/x"},
        ],
    },
    "a size that is a text": _first(size="12"),
    "a negative size": _first(size=-1),
    "a size of 30 digits": _first(size=10**30),
    "a size that is NaN": _first(size=float("nan")),
    "a size that is infinite": _first(size=float("inf")),
    "a digest that is a path": _stored(sha256=EVIL),
    "a digest that is null": _stored(sha256=None),
    "a stored size that is a list": _stored(size=[]),
    "a blob id that is a path": _first(blobId=EVIL),
    "storage that is a list": _first(lfs=[]),
}


def _of_api(body: bytes = b"{}", status: int = 200, **headers: str) -> Fault:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("status", ALWAYS, status=status, body=body, headers=names)


def _endless(body: bytes, pause: float = 0, **headers: str) -> Fault:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("endless", ALWAYS, status=200, body=body, pause=pause, headers=names)


# Answers of the API that are of no shape at all.
ABOUT_ANSWERS: Mapping[str, Callable[[], Fault]] = {
    "nothing": lambda: _of_api(b""),
    "a login page": lambda: _of_api(b"<html>Log in</html>"),
    "bad UTF-8": lambda: _of_api(b'{"sha": "\xff\xfe"}'),
    "nesting 100,000 deep": lambda: _of_api(_nested(100_000)),
    "a number of 10,000 digits": lambda: _of_api(b'{"sha": ' + b"9" * 10_000 + b"}"),
    "half of an object": lambda: _of_api(b'{"sha": "'),
    "false gzip": lambda: _of_api(b"{}", Content_Encoding="gzip"),
    "an unknown compression": lambda: _of_api(b"{}", Content_Encoding="evil"),
    "a gzip bomb": lambda: _of_api(_bomb(), Content_Encoding="gzip"),
    "endless JSON": lambda: _endless(b'{"sha": "x", ' * 5000),
    "one byte a second": lambda: _endless(b" ", pause=1),
    "headers without end": lambda: Fault("endless-head", ALWAYS, pause=1),
    "a redirect to itself": lambda: _of_api(status=302, Location="?"),
    "a redirect to nowhere": lambda: _of_api(status=302, Location="http://127.0.0.1:99999/"),
    "a redirect without an address": lambda: _of_api(status=302),
    "no content": lambda: _of_api(b"", status=204),
    "a status of no kind": lambda: _of_api(status=999),
    "a superscript for seconds": lambda: _of_api(status=429, Retry_After="²"),
    "a date of no year": lambda: _of_api(status=429, Retry_After="Mon, 01 Jan 0000 00:00:00"),
    "seconds of 5,000 digits": lambda: _of_api(status=429, Retry_After="9" * 5000),
    "a length of 5,000 digits": lambda: _of_api(Content_Length="9" * 5000),
    "a length that is a word": lambda: _of_api(Content_Length="many"),
    "an error of a list": lambda: _of_api(b"[]", status=400),
    "an endless error": lambda: Fault("endless", ALWAYS, status=500, body=b"x" * 5000),
}


def _bomb() -> bytes:
    """100 MB in 100 kB."""
    return gzip.compress(bytes(100_000_000), 1, mtime=0)


def _file(body: bytes, status: int = 200, **headers: str) -> Callable[[bytes], Fault]:
    return lambda _content: _of_api(body, status, **headers)


# Answers for a file, made from its content.
ABOUT_FILES: Mapping[str, Callable[[bytes], Fault]] = {
    "an ETag that is a path": lambda content: _of_api(
        content, ETag=f'"{EVIL}"', X_Linked_Etag=f'"{EVIL}"', X_Repo_Commit=EVIL
    ),
    "a cookie of odd letters": lambda content: _of_api(content, Set_Cookie="²=²"),
    "other content": lambda content: _of_api(bytes(len(content))),
    "ten bytes more": lambda content: _of_api(content + b"ten bytes!"),
    "ten bytes fewer": lambda content: _of_api(content[:-10]),
    "nothing": _file(b""),
    "no end": lambda content: _endless(content * 10),
    "one byte a second": lambda _content: _endless(b"x", pause=1),
    "headers without end": lambda _content: Fault("endless-head", ALWAYS, pause=1),
    "false gzip": lambda content: _of_api(content, Content_Encoding="gzip"),
    "a gzip bomb": lambda _content: _of_api(_bomb(), Content_Encoding="gzip"),
    "a range of 5,000 digits": lambda content: _of_api(
        content, 206, Content_Range=f"bytes 0-{'9' * 5000}/{'9' * 5000}"
    ),
    "another range": lambda content: _of_api(
        content, 206, Content_Range=f"bytes 5-{len(content) + 4}/{len(content) + 5}"
    ),
    "a range of a longer file": lambda content: _of_api(
        content, 206, Content_Range=f"bytes 0-{len(content) - 1}/{len(content) + 10}"
    ),
    "a part that says not which": lambda content: _of_api(content, 206),
    "no such range": _file(b"", 416, Content_Range="bytes */0"),
    "a redirect to itself": _file(b"", 302, Location="?"),
    "a redirect to nowhere": _file(b"", 302, Location="http://127.0.0.1:99999/"),
    "a superscript for seconds": _file(b"", 503, Retry_After="²"),
}


def of_repository(repo: Repo, name: str, change: Change) -> Fault:
    """What the API says of a repository, changed."""
    return _of_api(as_json(change(repo.info(name, blobs=True))))


# -- by chance --------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, [], {}, "", "x", EVIL, "/etc/passwd", "\ud800", "\x1b[31m", "a" * 5000),
    *(-1, 0, 1, 10**30, 1.5, float("nan"), float("inf"), [[[]]], {"size": {}}),
)
ODD_HEADERS = (
    *("ETag", "X-Linked-Etag", "X-Linked-Size", "X-Repo-Commit", "X-Error-Code", "Content-Range"),
    *("Content-Length", "Content-Encoding", "Transfer-Encoding", "Retry-After", "RateLimit"),
    *("Location", "Link", "Set-Cookie", "Content-Type", "Accept-Ranges"),
)
ODD_TEXTS = (
    *(
        "",
        "x",
        "²",
        "-1",
        "0",
        "9" * 5000,
        EVIL,
        f'"{EVIL}"',
        "http://127.0.0.1:99999/",
        "/",
        "gzip",
        "br",
    ),
    *("chunked", "é" * 50, "bytes 0-0/1", "bytes 5-4/3", "bytes */*", '"api";r=0;t=²', "a=b;;=;"),
    *('<http://[>; rel="next"', "<?>; rel=next", "\x1b[31m", "Mon, 99 Foo 99999 99:99:99 GMT"),
)
ODD_STATUS = (
    200,
    200,
    200,
    201,
    204,
    206,
    206,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    416,
    429,
    503,
    999,
)


def altered(value: Any, chance: Random) -> Any:
    """A copy of a JSON value with one odd place."""
    changed = copy.deepcopy(value)
    places = list(_places(changed))
    holder, key = chance.choice(places)
    if chance.random() < 0.2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = chance.choice(ODD_VALUES)
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def by_chance(true: bytes, chance: Random) -> Fault:
    """An answer with odd headers, an odd status, or an odd place in its JSON, or all of these."""
    body = true
    if chance.random() < 0.6:
        try:
            body = as_json(altered(json.loads(true), chance))
        except ValueError:
            cut = chance.randrange(len(true) + 1)
            body = chance.choice((true[:cut], true + true[:cut], bytes(len(true))))
    headers = {
        name: chance.choice(ODD_TEXTS)
        for name in chance.sample(ODD_HEADERS, chance.choice((0, 1, 1, 2, 4)))
    }
    return Fault("status", ALWAYS, status=chance.choice(ODD_STATUS), body=body, headers=headers)


# Answers to what is asked while a repository is written to.
ABOUT_WRITING: Mapping[str, Callable[[], Fault]] = {
    **ABOUT_ANSWERS,
    "a list": lambda: _of_api(b"[]"),
    "a number": lambda: _of_api(b"7"),
    "null": lambda: _of_api(b"null"),
    "a text": lambda: _of_api(b'"yes"'),
    "NaN": lambda: _of_api(b"NaN"),
    "lists for objects": lambda: _of_api(
        b'{"files": {}, "objects": {}, "url": [], "commitOid": []}'
    ),
    "objects without shape": lambda: _of_api(
        b'{"files": [7], "objects": [null], "url": "x", "commitUrl": 1, "commitOid": "../x"}'
    ),
    "half surrogates": lambda: _of_api(b'{"url": "\\ud800", "commitUrl": "\\ud800"}'),
    "errors without shape": lambda: _of_api(b'{"errors": 7}', status=400),
}

"""What the service and its judge processes say to each other, one request at a time a process."""
from __future__ import annotations

import msgspec

from common.devices import Device
from common.judge.artefact import Artefact
from common.judge.settings import JudgeSettings
from common.messages.campaign import TaskSource
from common.messages.judgement import Judgement


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message."""

    settings: JudgeSettings
    kind: str
    isolated: bool
    bwrap: str | None


class Compile(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    task: TaskSource
    source: str


class Validate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    task: TaskSource
    artefact: Artefact
    device: Device


class Profile(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    task: TaskSource
    artefact: Artefact
    device: Device
    bar: float = 0.0


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Give up the request under way; it is still answered."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of the first three, or `stopped`."""

    artefact: Artefact | None = None
    judgement: Judgement | None = None
    fault: str | None = None
    quarantine: bool = False
    unusable: bool = False
    """With a fault: the process that replied must be replaced."""
    stopped: bool = False
    short_of_memory: bool = False
    """See Judgement; with a fault as well."""


Request = Compile | Validate | Profile
request_decoder = msgspec.msgpack.Decoder(Request | Setup | Stop)
reply_decoder = msgspec.msgpack.Decoder(Reply)
encode = msgspec.msgpack.Encoder().encode

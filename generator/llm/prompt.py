"""A prompt as an endpoint takes it, and the ways to go on from one. Pure."""
from __future__ import annotations

import msgspec

from common.messages.tokens import Channel
from generator.llm.profiles import Profile

NOTES_OPEN, NOTES_CLOSE = "<notes>\n", "\n</notes>"
_QUOTED = (
    "\n\nYour notes on this task so far, broken off where time ran out:\n"
    "{notes}\n"
    "Do not think any further. Answer now, from these notes, with the complete file in one fenced code block.\n"
)


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """Either exact token ids, or chat messages for an endpoint that takes nothing else."""

    messages: tuple[dict[str, str], ...]
    token_ids: tuple[int, ...] | None = None
    channel: Channel | None = None
    """Where the generation begins; None where its first characters tell (`<think>` or not)."""
    in_fence: bool = False
    """The prompt ends inside an open code fence, so the generation starts with code."""
    prefilled: bool = False
    """The last message is the assistant's own and is to be continued."""
    thinking: bool = True
    """False asks a chat template not to open a reasoning, where it has such a switch."""
    first_token: int = 0
    """Position of the first generated token in its generation; more than 0 where one is resumed."""
    first_char: int = 0


def fork_suffix(text: str, prompt: Prompt, profile: Profile, language: str) -> str:
    """What follows the reasoning so far in a fork: the end of the thinking and an opened fence.

    `text` is what was generated up to the fork. ValueError where the reasoning had already ended by then.
    """
    marked = text.lstrip().startswith(profile.opening)
    # In a chat the reasoning may come in a field of its own, without markers.
    answered = profile.closing in text or (text and not marked and prompt.channel is None and prompt.token_ids)
    if answered:
        raise ValueError("the reasoning ends before this position: there is nothing to fork")
    opened = marked or prompt.channel == "reasoning" or prompt.token_ids is None
    return ("" if opened else profile.opening) + profile.close_with + f"```{language}\n"


def extended(prompt: Prompt, generated: tuple[int, ...], suffix: tuple[int, ...], *, in_fence: bool) -> Prompt:
    """The exact prefix plus a suffix, as a prompt for an answer."""
    if prompt.token_ids is None:
        raise ValueError("a chat prompt has no tokens to extend")
    ids = prompt.token_ids + generated + suffix
    return msgspec.structs.replace(prompt, token_ids=ids, channel="answer", in_fence=in_fence)


def prefilled(prompt: Prompt, text: str, suffix: str, profile: Profile) -> Prompt:
    """A chat whose last message is the assistant's, to be continued by the endpoint. A template adds nothing to such
    a message, so the opening marker is always in it."""
    messages = list(prompt.messages)
    if prompt.prefilled:
        content = messages.pop()["content"] + text
    else:
        content = ("" if text.lstrip().startswith(profile.opening) else profile.opening) + text
    message = {"role": "assistant", "content": content + suffix}
    return msgspec.structs.replace(
        prompt, messages=(*messages, message), channel="answer", in_fence=True, prefilled=True
    )


def quoted(prompt: Prompt, text: str, profile: Profile) -> Prompt:
    """A chat that quotes the reasoning so far in the user's message; the answer brings its own fence."""
    notes = NOTES_OPEN + text.replace(profile.opening, "", 1).lstrip() + NOTES_CLOSE
    last = prompt.messages[-1]
    message = {"role": "user", "content": last["content"] + _QUOTED.format(notes=notes)}
    return msgspec.structs.replace(prompt, messages=(*prompt.messages[:-1], message), channel=None, thinking=False)


def channel_after(tail: str, profile: Profile) -> Channel | None:
    """The channel a generation begins in, from the last characters of its prompt."""
    opened = tail.rfind(profile.opening)
    closed = tail.rfind(profile.closing)
    if opened > closed and not tail[opened + len(profile.opening) :].strip():
        return "reasoning"
    if closed >= 0 and not tail[closed + len(profile.closing) :].strip():
        return "answer"
    return None


def channel_within(text: str, start: Channel | None, profile: Profile) -> Channel | None:
    """The channel at the end of `text`, generated from `start` on."""
    if start != "answer" and profile.closing in text:
        return "answer"
    if start is not None:
        return start
    begun = text.lstrip()
    if not begun or profile.opening.startswith(begun):
        return "reasoning" if begun == profile.opening else None
    return "reasoning" if begun.startswith(profile.opening) else "answer"

"""`specgen dead`: messages that nobody could handle."""
from __future__ import annotations

import argparse
from datetime import datetime

import msgspec

from common.bus import Bus, BusError, Delivery
from common.commands.client import with_bus
from common.commands.tap import row
from common.errors import UsageError
from common.messages import PREFIX, DeadLetter

NAME = "dead"
HELP = "list, show and retry messages that nobody could handle"
EXAMPLES = """\
  specgen dead list
  specgen dead show 12
  specgen dead retry 12
  specgen dead retry all"""

Letters = dict[int, tuple[Delivery, DeadLetter]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|retry")
    listing = actions.add_parser("list", help="one line a dead letter")
    show = actions.add_parser("show", help="one dead letter with its message")
    retry = actions.add_parser("retry", help="send a message to its subject again and forget its letter")
    show.add_argument("number", help="as `specgen dead list` shows it")
    retry.add_argument("number", help="as `specgen dead list` shows it, or `all`")
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="as JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    async def body(bus: Bus) -> int:
        letters = await read(bus)
        if args.action == "list":
            return list_letters(letters, args.json)
        if args.action == "show":
            return show_letter(*chosen(letters, args.number), as_json=args.json)
        wanted = list(letters.values()) if args.number == "all" else [chosen(letters, args.number)]
        return await retry_letters(bus, wanted)

    return with_bus(NAME, body)


async def read(bus: Bus) -> Letters:
    """Dead letters by their number, which is their sequence in the stream."""
    stored = await bus.history(f"{PREFIX}.dead.>")
    return {d.sequence: (d, d.message) for d in stored if isinstance(d.message, DeadLetter)}


def chosen(letters: Letters, number: str) -> tuple[Delivery, DeadLetter]:
    if not number.isdigit() or int(number) not in letters:
        raise UsageError(f"no dead letter {number}; `specgen dead list` lists them")
    return letters[int(number)]


def list_letters(letters: Letters, as_json: bool) -> int:
    for number, (_, letter) in letters.items():
        when = datetime.fromtimestamp(letter.at).strftime("%Y-%m-%d %H:%M:%S")
        line = f"{number}  {when}  {letter.source}  {letter.subject_was.removeprefix(PREFIX + '.')}  {letter.reason}"
        print(_json(number, letter) if as_json else line)
    if not letters and not as_json:
        print("no dead letters")
    return 0


def show_letter(delivery: Delivery, letter: DeadLetter, *, as_json: bool) -> int:
    if as_json:
        print(_json(delivery.sequence, letter))
        return 0
    buried = row(_buried(letter))
    fields = {
        "number": delivery.sequence, "by": letter.source,
        "at": datetime.fromtimestamp(letter.at).isoformat(" ", "seconds"),
        "subject": letter.subject_was, "type": buried["type"] or "none", "reason": letter.reason, **letter.headers,
    }  # fmt: skip
    print("\n".join(f"{name}: {value}" for name, value in fields.items()))
    body = buried.get("message", letter.data)
    print(msgspec.json.format(msgspec.json.encode(body, enc_hook=repr)).decode())
    return 0


async def retry_letters(bus: Bus, wanted: list[tuple[Delivery, DeadLetter]]) -> int:
    """Exit code 1 where one could not be sent; the others are."""
    failed = 0
    for delivery, letter in wanted:
        try:
            await bus.retry_dead(delivery)
            print(f"{delivery.sequence}: sent to {letter.subject_was}")
        except (BusError, ValueError) as error:
            failed += 1
            print(f"{delivery.sequence}: not sent: {error}")
    return 1 if failed else 0


def _buried(letter: DeadLetter) -> Delivery:
    return Delivery(letter.subject_was, None, 0, letter.at, True, letter.data)


def _json(number: int, letter: DeadLetter) -> str:
    content = {"number": number, **msgspec.to_builtins(letter, builtin_types=(bytes,)), "buried": row(_buried(letter))}
    return msgspec.json.encode(content, enc_hook=repr).decode()

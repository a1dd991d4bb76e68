"""Commands that draw: where to, refused before anybody is asked, and written at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

import click

from netloom.cli.errors import Unusable

F = TypeVar("F", bound=Callable[..., None])


def picture_option(text: str, endings: Collection[str] = ()) -> Callable[[F], F]:
    """``--picture FILE``, argument ``picture_file``; ``text`` is its help, ``endings`` what a name must end in."""

    def usable(ctx: click.Context, param: click.Parameter, file: Path | None) -> Path | None:
        del ctx, param
        if file is not None and endings and file.suffix not in endings:
            raise Unusable(
                f'"{file}" is no kind of picture that is drawn; expected a name ending in {" or ".join(endings)}'
            )
        if file is not None and not os.access(file if file.exists() else file.parent, os.W_OK):
            raise Unusable(f'"{file}" cannot be written: its folder is not there, or not ours')
        return file

    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--picture", "picture_file", metavar="FILE", type=kind, callback=usable, help=text)


def write_picture(file: Path, picture: str) -> None:
    """Raises Unusable."""
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Unusable(f'"{file}" cannot be written: {error.strerror}') from error

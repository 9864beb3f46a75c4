"""Rows of a table of text: commas, semicolons or tabs, its first row the names of the columns."""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from atommem_cli.tasks._json import opener

DELIMITERS = ",;\t"


def rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows, each with the place where it stands ("row 2" is the first below the names), as column -> text.

    Raises:
        ValueError, EOFError, OSError, lzma.LZMAError: it is damaged; names the place.
    """
    csv.field_size_limit(sys.maxsize)  # a cell holds a document
    with opener(path)(path, "rb") as file:
        begin = file.read(4)
        wide = begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        file.seek(0)
        text = TextIOWrapper(file, "utf-16" if wide else "utf-8-sig", newline="")
        number = 1
        try:
            head = text.readline()
            text.seek(0)
            table = csv.reader(text, delimiter=max(DELIMITERS, key=head.count), strict=True)
            names = [name.strip() for name in next(table, [])]
            if twice := [name for name in names if name and names.count(name) > 1]:
                raise ValueError(f"two columns are called {twice[0]}")
            for number, cells in enumerate(table, start=2):
                if len(cells) > len(names):
                    raise ValueError(
                        f"row {number} has {len(cells)} cells, and there are {len(names)} columns: a text with a "
                        "comma or a line break in it stands in double quotes"
                    )
                if any(cell.strip() for cell in cells):
                    yield f"row {number}", dict(zip(names, cells, strict=False))
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 (byte 0x{error.object[error.start]:02x}): save the file as UTF-8") from None
        except csv.Error as error:
            raise ValueError(f"behind row {number}: {error}") from None

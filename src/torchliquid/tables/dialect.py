"""How a table file is written, where it can be read in two ways."""

from dataclasses import dataclass

from torchliquid.errors import TorchliquidError


@dataclass(frozen=True)
class CsvDialect:
    """How a table file is written, where it can be read in two ways.

    Args:
        decimal: mark before the decimals; None: found column by column.
        thousands: mark between groups of three digits; None: there is none.
        encoding: of the text; None: UTF-8, or UTF-16 where the file begins with its mark.
        sep: mark between cells; a blank stands for any number of blanks; None: found.
        comment: mark from which on a line is left out; None: ``#``, above the names alone.
        skip_rows: lines above the names.
        skip_footer: lines below the table.
        no_header: whether the first line is a row: the columns are called 1, 2, 3 and so on.
        sheet: of a workbook, by its name or its number from 1; None: the first one.

    Marks of numbers are for cells that are text, in any file. Lines are those of text files and
    workbooks; encoding, sep and comment are of text files alone.
    """

    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    sep: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    skip_footer: int = 0
    no_header: bool = False
    sheet: str | None = None

    def __post_init__(self) -> None:
        for name in ("decimal", "thousands"):
            mark = getattr(self, name)
            if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in "+-\n\r"):
                raise TorchliquidError(f"{name} is {mark!r}: give one character, such as ','")
        for name in ("sep", "comment"):
            mark = getattr(self, name)
            if mark is not None and (len(mark) != 1 or mark.isalnum()):
                raise TorchliquidError(
                    f"{name} is {mark!r}: give one character, such as ';' or '#'"
                )
        for name in ("skip_rows", "skip_footer"):
            if getattr(self, name) < 0:
                raise TorchliquidError(f"{name} is {getattr(self, name)}: give at least 0")
        if self.decimal is not None and self.decimal == self.thousands:
            raise TorchliquidError(f"decimal and thousands are both {self.decimal!r}")

    def check(self, suffix: str, *, text: bool) -> None:
        """That the options are those of a kind of file.

        Raises:
            TorchliquidError: an option was given that has no meaning there.
        """
        plain = CsvDialect()
        meaningless = ["sheet"] if text else ["encoding", "sep", "comment"]
        if not text and suffix != ".xlsx":
            meaningless += ["skip_rows", "skip_footer", "no_header", "sheet"]
        for name in meaningless:
            if getattr(self, name) != getattr(plain, name):
                of = "text files" if name in ("encoding", "sep", "comment") else "text and .xlsx"
                of = ".xlsx" if name == "sheet" else of
                raise TorchliquidError(
                    f"is {suffix or 'no text'}, and `{name}` is an option of {of}: leave it out"
                )

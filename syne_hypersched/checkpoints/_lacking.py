"""Finds generations that lack files, because a file was written after they were taken.

That file may also be the first one of another checkpoint. This may show only later, for example if a script alternates
between two names. So it is decided when the next checkpoint certainly begins, at the next report, or when another
generation is taken: a generation lacks the file unless it has turned out that the file began another checkpoint.
"""

from __future__ import annotations


class Lacking:
    """Follows the generations of the present checkpoint.

    Each method that receives ``num_over`` expects the number of checkpoints that are over, as far as is known.

    Attributes
    ----------
    numbers
        Generations that lack files. The caller removes them from the list.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        #: The generation taken since the last report, if it is a new one, and ``num_over`` at that time.
        self._taken: tuple[int, int] | None = None
        #: The same of generations after which a file was written; and whether the last file added one to these.
        self._unsure: list[tuple[int, int]] = []
        self._is_last = False

    def take(self, number: int | None, num_over: int) -> None:
        """Notes that a generation was taken; None: the folder is the same as an earlier generation."""
        self._taken = None if number is None else (number, num_over)

    @property
    def is_unsure(self) -> bool:
        """Whether any generation may lack files."""
        return bool(self._unsure)

    def keep(self, number: int) -> None:
        """Notes that the folder is the same as a generation, which therefore lacks nothing."""
        self._unsure = [(other, over) for other, over in self._unsure if other != number]

    def add(self, begins: bool, num_over: int, is_known: bool = False) -> None:
        """Notes that a file was finished.

        Parameters
        ----------
        begins
            Whether it is certainly the first one of another checkpoint.
        num_over
            As it was before that.
        is_known
            Whether the generation has this file, as it was at a report.
        """
        if begins:
            self.settle(num_over)
        self._is_last = not (begins or is_known) and self._taken is not None
        if self._is_last and self._taken is not None:
            self._unsure.append(self._taken)
        self._taken = None

    def withdraw(self) -> None:
        """Notes that the last file had a temporary name, and had a final name before the generation was taken."""
        if self._is_last and self._unsure:
            self._taken, self._is_last = self._unsure.pop(), False

    def report(self, num_over: int) -> None:
        """Notes a report of the script."""
        self._taken = None
        self.settle(num_over)

    def settle(self, num_over: int) -> None:
        """Decides about all generations."""
        self.numbers += [number for number, over in self._unsure if over == num_over]
        self._unsure.clear()

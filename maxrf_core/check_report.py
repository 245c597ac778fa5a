"""The result of a check, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CheckReport"]


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Parameters
    ----------
    name : str
        The store.
    n_spectra, chunks : int
        What it holds; 0 if it cannot be opened.
    size : int or None
        Its bytes; None for a URL.
    faults : tuple of str
        The first faults, a sentence each.
    fault_count : int
        How many there are.
    notes : tuple of str
        What is no fault, but good to know.
    source : str or None
        The scan that the counts were held against.
    """

    name: str
    n_spectra: int
    chunks: int
    size: int | None
    faults: tuple[str, ...]
    fault_count: int
    notes: tuple[str, ...]
    source: str | None

    @property
    def is_whole(self) -> bool:
        """Whether no fault was found."""
        return self.fault_count == 0

    @property
    def summary(self) -> str:
        """The result in one line."""
        if self.is_whole:
            equal = f", counts equal to {self.source}" if self.source else ""
            size = "" if self.size is None else f", {_in_words(self.size)}"
            return (
                f"{self.name} is whole: {self.n_spectra:,} spectra, {self.chunks:,} chunks"
                f"{size}{equal}"
            )
        further = self.fault_count - len(self.faults)
        shown = f"; the first {len(self.faults)} are shown" if further else ""
        faults = "fault" if self.fault_count == 1 else "faults"
        return f"{self.name} has {self.fault_count:,} {faults}{shown}."


def _in_words(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10**7 else f"{size / 1e3:,.0f} kB"

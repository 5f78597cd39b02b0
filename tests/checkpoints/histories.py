"""Histories of reports and saves as a watcher sees them, without files or clocks."""

from __future__ import annotations

from syne_hypersched.checkpoints import Notes, Order
from syne_hypersched.checkpoints._matching import Matcher


class History:
    """A launch as it is seen: what is taken is taken at once, and carries the epoch that the script had trained."""

    def __init__(self, order=Order.UNKNOWN, notes=None, launch=0, goes_on=True, now=0.0):
        self.matcher = Matcher(launch, notes or Notes(), order, now, goes_on)
        self.matcher.follow("epoch", "loss", True)
        self.now = now
        #: The epoch inside each generation, by its number.
        self.contents = {}

    def report(self, epoch, loss, after_s=0.0):
        self.now += after_s
        self.matcher.report({"epoch": epoch, "loss": loss}, self.matcher.num_reports + 1, self.now)

    def save(self, epoch, after_s=0.0, quiet=True, between=None):
        self.now += after_s
        number = self.matcher.num_reports
        self.matcher.change(*(between or (number, number)), self.now)
        self.contents[len(self.contents) + 1] = epoch
        self.matcher.taken(len(self.contents))
        if quiet:
            self.wait(0.03)

    def wait(self, seconds):
        self.now += seconds
        self.matcher.tick(self.now)
        self.matcher.settle()

    def matched(self):
        """Of the best report, the epoch that its generation holds, and how sure that is."""
        known = self.matcher.matched[-1]
        return known.values["epoch"], self.contents[known.generation], known.match

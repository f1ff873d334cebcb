"""`patch?:action=number&number=4711` leads to the page of that patch: people know its number, not Roundup's id."""

from roundup.cgi.actions import Action
from roundup.cgi.exceptions import NotFound, Redirect


class ByNumber(Action):
    """Go to the patch or bug of a number."""

    name = "show"
    permissionType = None

    def handle(self):
        """Find it; 404 for one that is not there."""
        klass, number = self.classname, self.form["number"].value if "number" in self.form else ""
        if klass not in ("patch", "bug"):
            raise NotFound("Only patches and bugs have numbers.")
        try:
            found = self.db.getclass(klass).lookup(number)
        except KeyError:
            raise NotFound(f"There is no such {klass}.") from None
        raise Redirect(f"{self.base}{klass}{found}")


def init(tracker):
    """Roundup calls this when it loads the tracker."""
    tracker.registerAction("number", ByNumber)

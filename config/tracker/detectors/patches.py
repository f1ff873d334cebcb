"""What our tracker refuses, and what it adds by itself; each refusal says why."""

from roundup.exceptions import Reject

_FIRST = {"patch": 1000, "bug": 20000}


def _numbered(db, cl, nodeid, newvalues):
    """A patch or bug that names no number of its own gets the next one; a number is never changed."""
    number = newvalues.get("number")
    if nodeid is not None:
        if "number" in newvalues and number != cl.get(nodeid, "number"):
            raise Reject(f"The number of {cl.classname} {cl.get(nodeid, 'number')} cannot be changed.")
        newvalues.pop("serial", None)
        return
    if not number:
        newest = cl.filter(None, {}, sort=[("-", "serial")], limit=1)
        serial = max(cl.get(newest[0], "serial") or 0 if newest else 0, _FIRST[cl.classname]) + 1
        newvalues["number"], newvalues["serial"] = str(serial), serial
        return
    if not (
        number.isascii() and number.isdigit() and len(number) < 10 and number == str(int(number)) and number != "0"
    ):
        raise Reject(f"The number of a {cl.classname} has 1 to 9 digits, not {number[:40]!r}.")
    newvalues["serial"] = int(number)


def _new_patch(db, cl, nodeid, newvalues):
    if not newvalues.get("state"):
        newvalues["state"] = db.state.lookup("Ready for integration")
    if not newvalues.get("kind"):
        newvalues["kind"] = "client"
    for name in ("title", "metapackage", "version"):
        if not (newvalues.get(name) or "").strip():
            raise Reject(f"A patch needs a {name}.")


def _rules_of_a_patch(db, cl, nodeid, newvalues):
    if newvalues.get("kind", "client") not in ("client", "server"):
        raise Reject("A patch is for a client or a server.")
    for name in ("packages", "externals"):
        for line in (newvalues.get(name) or "").splitlines():
            if line.strip() and len(line.split()) != 3:
                raise Reject(f"Each line of {name} is NAME VERSION ARCHITECTURE, not {line[:80]!r}.")


def _moves(db, cl, nodeid, newvalues):
    """The workflow: from a state only to those that follow it."""
    if "state" not in newvalues:
        return
    old, new = cl.get(nodeid, "state"), newvalues["state"]
    if new is None:
        raise Reject("A patch is always in some state.")
    if old in (None, new):
        return
    allowed = db.state.get(old, "transitions")
    if new not in allowed:
        names = ", ".join(f'"{db.state.get(i, "name")}"' for i in allowed) or "nothing"
        raise Reject(
            f'Patch {cl.get(nodeid, "number")} cannot go from "{db.state.get(old, "name")}" '
            f'to "{db.state.get(new, "name")}"; allowed: {names}.'
        )


def _new_message(db, cl, nodeid, newvalues):
    """Whoever writes is the author, now; REST needs to say neither."""
    from roundup import date

    newvalues.setdefault("author", db.getuid())
    newvalues.setdefault("date", date.Date("."))


def _opened(db, cl, nodeid, newvalues):
    if not newvalues.get("state"):
        newvalues["state"] = db.bugstate.lookup("open")


def init(db):
    """Roundup calls this each time it opens the tracker."""
    for klass in (db.patch, db.bug):
        klass.audit("create", _numbered)
        klass.audit("set", _numbered)
    db.patch.audit("create", _new_patch)
    for event in ("create", "set"):
        db.patch.audit(event, _rules_of_a_patch)
    db.patch.audit("set", _moves)
    db.msg.audit("create", _new_message)
    for klass in (db.bug, db.ticket):
        klass.audit("create", _opened)

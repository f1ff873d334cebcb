"""The words of our tracker, and its first users; run once, by `pps tracker init`."""

_ALWAYS = ("With provider", "Rejected", "Obsolete")
#: State -> where a patch may go from there. A person with the role Admin may change this under /state.
MOVES = {
    "Ready for integration": ("Ready for certification", *_ALWAYS),
    "Ready for certification": ("In certification", *_ALWAYS),
    "In certification": ("Certified", *_ALWAYS),
    # SD 4.1.1, last paragraph: a release that needs no further deployment test goes to production at once
    "Certified": ("Ready for production", "In production", *_ALWAYS),
    "Ready for production": ("Ready for rollout", "In production", "Rejected", "Obsolete"),
    "Ready for rollout": ("Rolling out", "In production", "Rejected", "Obsolete"),
    "Rolling out": ("In production", "Rejected", "Obsolete"),
    "In production": ("Obsolete",),
    "With provider": ("Ready for integration", "Ready for certification", "Rejected", "Obsolete"),
    "Rejected": ("With provider", "Obsolete"),
    "Obsolete": (),
}

ids = {name: db.state.create(name=name, order=order) for order, name in enumerate(MOVES, 1)}
for name, moves in MOVES.items():
    db.state.set(ids[name], transitions=[ids[move] for move in moves])
for order, name in enumerate(("critical", "major", "normal", "minor"), 1):
    db.severity.create(name=name, order=order)
for order, name in enumerate(("open", "reopened", "fixed", "closed"), 1):
    db.bugstate.create(name=name, order=order)

db.user.create(username="admin", password=adminpw, address=admin_email, roles="Admin")
db.user.create(username="anonymous", roles="Anonymous")

"""What may run where, and why: signatures, what an image is made of, what it passed, and the way up.

    keys.py          key pairs: one signs, the public halves in release/keys are trusted
    envelopes.py     in-toto statements in signed DSSE envelopes
    approved.py      release/<env>/approved-digests: the ledger that the cluster enforces
    evidence.py      release/<env>/passed/…: a digest passed e2e in an environment
    commits.py       changes made beside the working tree, as commits or as a patch
    promote.py       a digest's way into the first environment and from one to the next

Trust is by key and kept in git: no service of somebody else's has to answer for a release to be verified.
"""

"""What may run where, and why: signatures, what an image is made of, what it passed, and the way up.

    keys.py          key pairs: one signs, the public halves in release/keys are trusted
    envelopes.py     in-toto statements in signed DSSE envelopes
    approved.py      release/<env>/approved-digests: the ledger that the cluster enforces
    evidence.py      release/<env>/passed/…: a digest passed e2e in an environment
    registry.py      an OCI registry: tags, manifests, blobs, and what stands beside an image
    attached.py      layers under cosign's tags
    signatures.py    signatures of images, as cosign makes and reads them
    attestations.py  signed statements about images, as cosign makes and reads them
    image_files.py   the files of an image that say what is installed in it
    sbom.py          what an image is made of: CycloneDX
    provenance.py    how an image came about: SLSA provenance
    verify.py        whether an image may be released: the three together
    commits.py       changes made beside the working tree, as commits or as a patch
    running.py       what runs in the cluster beside what is approved
    promote.py       a digest's way into the first environment and from one to the next

Trust is by key and kept in git: no service of somebody else's has to answer for a release to be verified.
"""

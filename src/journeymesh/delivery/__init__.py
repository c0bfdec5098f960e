"""Delivery by git alone: the tree that Argo CD reads, and what checks, promotes, watches and takes back.

    tree.py         where things stand in the tree: environments, services, overlays
    documents.py    manifests read with their places, so that a finding can name its line
    images.py       an image by its digest, and the overlay's line that pins it
    checks/         what is wrong with the tree, by rules; how a revision renders otherwise
    rendering.py    what Kustomize makes of a folder
    secrets.py      an environment's Secrets in git: made, renewed, read
      needed_secrets.py   which Secrets an environment needs
      secret_values.py    strong random values in the forms that readers want
      secret_checks.py    what is wrong with them
      sops.py, age_keys.py   encryption, by its own programs
      sops_sidecar.py     what decrypts for Argo CD
    certificates.py whether certificates hold, with their keys and for their names
      served_certificates.py   those that the cluster serves
    laptop.py       what compose.yaml needs beside itself
    applications.py Argo CD's Applications as typed values
    cluster.py      the cluster that Argo CD runs in
    git.py          a clone of the repository, for those who add commits to it
    reverting.py    which commits were a bad release, and the commits that take it back
    restoring.py    an environment brought back by whole syncs, in order
    status.py       one view of every Application, with what Argo CD's colours do not say
    strays.py       what was added by hand, and how to remove it
    guard.py        the delivery controller: takes bad releases back, keeps healing alive
    passing.py      evidence of what passed, recorded by the guard
    programs.py     the programs that are called (git, kustomize, …), their faults in our words

Git, a registry and Kubernetes are all it needs; nothing here depends on a CI product, a git host or a cloud.
"""

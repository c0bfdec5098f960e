"""Delivery by git alone: the tree that Argo CD reads, and what checks, promotes, watches and takes back.

    tree.py         where things stand in the tree: environments, services, overlays
    documents.py    manifests read with their places, so that a finding can name its line
    images.py       an image by its digest, and the overlay's line that pins it
    rendering.py    what Kustomize makes of a folder
    programs.py     the programs that are called (git, kustomize, …), their faults in our words

Git, a registry and Kubernetes are all it needs; nothing here depends on a CI product, a git host or a cloud.
"""

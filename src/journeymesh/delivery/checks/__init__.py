"""What is wrong with the tree, said before Argo CD meets it. Each finding names rule, file, line, what and fix.

findings.py       a finding, and the rules: small functions with an id, a severity, a meaning and a fix
values.py         the table of the rules that say "this path has this value"
checking.py       every rule over one tree, in one order
subject.py        what rules look at: the tree's files as they are, and what Kustomize makes of them
places.py         from a rendered object back to the file and line that it comes from
applications.py   the Applications of the tree
gates.py          which services stand behind a gate
pods.py           pod templates and containers of every kind that has them
waves.py          hooks and sync waves of a rendered object
reachability.py   who talks to whom, and whether NetworkPolicies let them
schemas.py        the schemas of every kind that the tree may hold, offline
difference.py     what a revision and the tree as it is render, and how that differs
rules_*.py        the rules, by what they are about
"""

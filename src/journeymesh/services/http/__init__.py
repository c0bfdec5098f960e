"""What every service's HTTP has alike.

A request passes, in this order: `edge` (request id, trace, headers, metrics, log; time by `limits`, encoding by
`compression`), `routing`, `gate` (clients' rates, the decision), the route itself. A fault becomes a problem in
`problems`.
"""

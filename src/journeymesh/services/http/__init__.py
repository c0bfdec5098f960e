"""What every service's HTTP has alike.

A request passes, in this order: `edge` (request id, trace, headers, metrics, log), `limits` (clients' rates, time),
`compression`, Litestar's routing, `gate` (the decision), the route itself. A fault becomes a problem in `problems`.
"""

"""journeyapi: journeys and summaries over HTTP, by capability and purpose.

`app` builds it; `policy_routes`, `score_route`, `journey_routes`, `product_route` and `fix_route` are what it answers;
`ports` says what it reads from, `versions` how it knows without reading that nothing changed.
"""

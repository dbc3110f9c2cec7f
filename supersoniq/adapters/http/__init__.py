"""The HTTP face: one ASGI app, to be served alone or mounted in another one.

    app       the app, its options, its lifespan
    routes    which path and method lead to which handler
    paths     finding that handler
    serve     the app on a uvicorn server
    publish, consume, browse, manage, events, operations, about, document
              the handlers, by subject: a request becomes operations, their results an answer
    endpoint  what stands behind a path: a handler for each method, an answer to each error
    exchange  one request and its answer: the body within its limits
    media     media types, and how much a client likes them
    presence  whether somebody who is kept waiting is still there
    service   what all handlers share: the broker, the limits, and those to be sent home
    described what a handler tells of itself: what it takes, what it gives, what may be wrong
    openapi   the OpenAPI document, from the routes and what they tell; schemas: its types
    wire      what travels: messages; forms: every other body, query and answer
    decode    from bytes and texts to those shapes, with an error that names the field
    problems  from an error to its status and problem document
    limits    the bounds

A handler never decides anything about messages: it makes an operation (``supersoniq.core.ops``)
from a checked request, has the engine carry it out, and puts the result into words.
"""

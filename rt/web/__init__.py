"""The studio: live translation in the browser, and an HTTP API.

    server.py         start and stop: options, port, event loop
    app.py            the ASGI application: routes, sign-in, response headers
    session.py        one page's WebSocket connection
    api.py            the HTTP API for programs
    access.py         access policy: Host, Origin, token, cookie, headers
    protocol.py       WebSocket messages, limits, close codes
    service.py        the thread that translates for all visitors, round robin
    visitor.py        one visitor: controls, translator, newest frame
    backend_pool.py   loaded backends, shared by visitors
    shared_source.py  the server's own source, shown to every visitor
    listing.py        what page and programs are told about the styles
    jpeg.py           images to bytes and back; their size before decoding

asyncio lives only here, and here only in the first four modules; the rest is threads.
"""

"""The studio: a page in the browser that shows yourself, or the server's camera, translated.

    server.py    the studio as it is started: port, event loop, end
    app.py       the application: page, sign-in, who is kept out
    talk.py      the talk with one page over its WebSocket
    api.py       the HTTP interface for programs
    guard.py     who may talk to it: host, origin, token, cookie, headers
    protocol.py  what is said over the WebSocket, and its limits
    studio.py    the thread that translates for all visitors in turn
    visitor.py   one visitor: controls, translator, newest frame
    shelf.py     the networks that are loaded, shared by visitors
    camera.py    the server's own source, shown to every visitor
    listing.py   what is told of the styles
    jpeg.py      pictures to bytes and back; their size before they are decoded

asyncio lives here alone, and only in the first four; everything else is threads.
"""

"""The page: livebach in a browser on this machine.

`link` is the player's side, `server` is the process that serves the page, and `static/` holds the page. The player and
the server exchange messages over pipes. The server and the page use HTTP and a WebSocket.
"""

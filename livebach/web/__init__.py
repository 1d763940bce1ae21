"""The page: livebach in a browser on this machine.

`link` is the player's side, `server` the process that serves the page, `static/` the page. The player and the server
talk over pipes, the server and the page over HTTP and a WebSocket.
"""

"""The server: from the socket it listens on to the replies of each request."""

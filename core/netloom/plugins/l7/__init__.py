"""Application protocols without I/O: a parser's instructions carried out, and parsers made of requests and replies."""

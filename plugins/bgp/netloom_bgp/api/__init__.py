"""The part of GoBGP's API that is used: messages generated from ``gobgp.proto``."""

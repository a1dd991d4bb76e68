"""Router `bgp`: announces this node's prefixes and learns others' by BGP, spoken by GoBGP."""

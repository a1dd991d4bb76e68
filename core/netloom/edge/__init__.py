"""Effects on the host: links, routes, filters, namespaces, firewall, files."""

"""Network mode `vxlan`: an overlay over UDP, with the source identity as VNI."""

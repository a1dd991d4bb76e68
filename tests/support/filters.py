"""How pyroute2 reads messages about filters: what ours are compared with."""

from __future__ import annotations

from pyroute2.netlink import nla, nlmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg


class bpf_options(nla):  # noqa: N801 - named as pyroute2 names its messages
    """Attributes of a cls_bpf filter; pyroute2's own list ends before the program's tag and number."""

    nla_map = (  # type: ignore[assignment] # pyroute2 takes tuples and dicts
        ("TCA_BPF_UNSPEC", "none"),
        ("TCA_BPF_ACT", "hex"),
        ("TCA_BPF_POLICE", "hex"),
        ("TCA_BPF_CLASSID", "uint32"),
        ("TCA_BPF_OPS_LEN", "uint16"),
        ("TCA_BPF_OPS", "hex"),
        ("TCA_BPF_FD", "uint32"),
        ("TCA_BPF_NAME", "asciiz"),
        ("TCA_BPF_FLAGS", "uint32"),
        ("TCA_BPF_FLAGS_GEN", "uint32"),
        ("TCA_BPF_TAG", "hex"),
        ("TCA_BPF_ID", "uint32"),
    )


class filter_message(nlmsg):  # noqa: N801 - as above
    """struct tcmsg with the attributes of cls_bpf."""

    prefix = "TCA_"  # type: ignore[assignment]
    fields = tcmsg.fields  # type: ignore[assignment]
    nla_map = (("TCA_UNSPEC", "none"), ("TCA_KIND", "asciiz"), ("TCA_OPTIONS", "bpf_options"))  # type: ignore[assignment]
    bpf_options = bpf_options

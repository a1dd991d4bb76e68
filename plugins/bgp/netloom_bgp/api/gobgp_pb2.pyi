import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TableType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GLOBAL: _ClassVar[TableType]
    LOCAL: _ClassVar[TableType]
    ADJ_IN: _ClassVar[TableType]
    ADJ_OUT: _ClassVar[TableType]
    VRF: _ClassVar[TableType]

class PeerType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTERNAL: _ClassVar[PeerType]
    EXTERNAL: _ClassVar[PeerType]

class DefinedType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREFIX: _ClassVar[DefinedType]
    NEIGHBOR: _ClassVar[DefinedType]
    TAG: _ClassVar[DefinedType]
    AS_PATH: _ClassVar[DefinedType]
    COMMUNITY: _ClassVar[DefinedType]
    EXT_COMMUNITY: _ClassVar[DefinedType]
    LARGE_COMMUNITY: _ClassVar[DefinedType]
    NEXT_HOP: _ClassVar[DefinedType]

class RouteAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NONE: _ClassVar[RouteAction]
    ACCEPT: _ClassVar[RouteAction]
    REJECT: _ClassVar[RouteAction]

class PolicyDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN: _ClassVar[PolicyDirection]
    IMPORT: _ClassVar[PolicyDirection]
    EXPORT: _ClassVar[PolicyDirection]
GLOBAL: TableType
LOCAL: TableType
ADJ_IN: TableType
ADJ_OUT: TableType
VRF: TableType
INTERNAL: PeerType
EXTERNAL: PeerType
PREFIX: DefinedType
NEIGHBOR: DefinedType
TAG: DefinedType
AS_PATH: DefinedType
COMMUNITY: DefinedType
EXT_COMMUNITY: DefinedType
LARGE_COMMUNITY: DefinedType
NEXT_HOP: DefinedType
NONE: RouteAction
ACCEPT: RouteAction
REJECT: RouteAction
UNKNOWN: PolicyDirection
IMPORT: PolicyDirection
EXPORT: PolicyDirection

class StartBgpRequest(_message.Message):
    __slots__ = ()
    GLOBAL_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class StopBgpRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBgpRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBgpResponse(_message.Message):
    __slots__ = ()
    GLOBAL_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class WatchEventRequest(_message.Message):
    __slots__ = ("peer", "table")
    class Peer(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Table(_message.Message):
        __slots__ = ("filters",)
        class Filter(_message.Message):
            __slots__ = ("type", "init")
            class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                BEST: _ClassVar[WatchEventRequest.Table.Filter.Type]
                ADJIN: _ClassVar[WatchEventRequest.Table.Filter.Type]
                POST_POLICY: _ClassVar[WatchEventRequest.Table.Filter.Type]
            BEST: WatchEventRequest.Table.Filter.Type
            ADJIN: WatchEventRequest.Table.Filter.Type
            POST_POLICY: WatchEventRequest.Table.Filter.Type
            TYPE_FIELD_NUMBER: _ClassVar[int]
            INIT_FIELD_NUMBER: _ClassVar[int]
            type: WatchEventRequest.Table.Filter.Type
            init: bool
            def __init__(self, type: _Optional[_Union[WatchEventRequest.Table.Filter.Type, str]] = ..., init: bool = ...) -> None: ...
        FILTERS_FIELD_NUMBER: _ClassVar[int]
        filters: _containers.RepeatedCompositeFieldContainer[WatchEventRequest.Table.Filter]
        def __init__(self, filters: _Optional[_Iterable[_Union[WatchEventRequest.Table.Filter, _Mapping]]] = ...) -> None: ...
    PEER_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    peer: WatchEventRequest.Peer
    table: WatchEventRequest.Table
    def __init__(self, peer: _Optional[_Union[WatchEventRequest.Peer, _Mapping]] = ..., table: _Optional[_Union[WatchEventRequest.Table, _Mapping]] = ...) -> None: ...

class WatchEventResponse(_message.Message):
    __slots__ = ("peer", "table")
    class PeerEvent(_message.Message):
        __slots__ = ("type", "peer")
        class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            UNKNOWN: _ClassVar[WatchEventResponse.PeerEvent.Type]
            INIT: _ClassVar[WatchEventResponse.PeerEvent.Type]
            END_OF_INIT: _ClassVar[WatchEventResponse.PeerEvent.Type]
            STATE: _ClassVar[WatchEventResponse.PeerEvent.Type]
        UNKNOWN: WatchEventResponse.PeerEvent.Type
        INIT: WatchEventResponse.PeerEvent.Type
        END_OF_INIT: WatchEventResponse.PeerEvent.Type
        STATE: WatchEventResponse.PeerEvent.Type
        TYPE_FIELD_NUMBER: _ClassVar[int]
        PEER_FIELD_NUMBER: _ClassVar[int]
        type: WatchEventResponse.PeerEvent.Type
        peer: Peer
        def __init__(self, type: _Optional[_Union[WatchEventResponse.PeerEvent.Type, str]] = ..., peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...
    class TableEvent(_message.Message):
        __slots__ = ("paths",)
        PATHS_FIELD_NUMBER: _ClassVar[int]
        paths: _containers.RepeatedCompositeFieldContainer[Path]
        def __init__(self, paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ...) -> None: ...
    PEER_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    peer: WatchEventResponse.PeerEvent
    table: WatchEventResponse.TableEvent
    def __init__(self, peer: _Optional[_Union[WatchEventResponse.PeerEvent, _Mapping]] = ..., table: _Optional[_Union[WatchEventResponse.TableEvent, _Mapping]] = ...) -> None: ...

class AddPeerRequest(_message.Message):
    __slots__ = ("peer",)
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: Peer
    def __init__(self, peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class DeletePeerRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ListPeerRequest(_message.Message):
    __slots__ = ("address", "enableAdvertised")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ENABLEADVERTISED_FIELD_NUMBER: _ClassVar[int]
    address: str
    enableAdvertised: bool
    def __init__(self, address: _Optional[str] = ..., enableAdvertised: bool = ...) -> None: ...

class ListPeerResponse(_message.Message):
    __slots__ = ("peer",)
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: Peer
    def __init__(self, peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class ResetPeerRequest(_message.Message):
    __slots__ = ("address", "communication", "soft", "direction")
    class SoftResetDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        IN: _ClassVar[ResetPeerRequest.SoftResetDirection]
        OUT: _ClassVar[ResetPeerRequest.SoftResetDirection]
        BOTH: _ClassVar[ResetPeerRequest.SoftResetDirection]
    IN: ResetPeerRequest.SoftResetDirection
    OUT: ResetPeerRequest.SoftResetDirection
    BOTH: ResetPeerRequest.SoftResetDirection
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COMMUNICATION_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    address: str
    communication: str
    soft: bool
    direction: ResetPeerRequest.SoftResetDirection
    def __init__(self, address: _Optional[str] = ..., communication: _Optional[str] = ..., soft: bool = ..., direction: _Optional[_Union[ResetPeerRequest.SoftResetDirection, str]] = ...) -> None: ...

class EnablePeerRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class DisablePeerRequest(_message.Message):
    __slots__ = ("address", "communication")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COMMUNICATION_FIELD_NUMBER: _ClassVar[int]
    address: str
    communication: str
    def __init__(self, address: _Optional[str] = ..., communication: _Optional[str] = ...) -> None: ...

class ListPathRequest(_message.Message):
    __slots__ = ("table_type", "name", "family", "sort_type", "enable_filtered", "enable_only_binary")
    class SortType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NONE: _ClassVar[ListPathRequest.SortType]
        PREFIX: _ClassVar[ListPathRequest.SortType]
    NONE: ListPathRequest.SortType
    PREFIX: ListPathRequest.SortType
    TABLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SORT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ENABLE_FILTERED_FIELD_NUMBER: _ClassVar[int]
    ENABLE_ONLY_BINARY_FIELD_NUMBER: _ClassVar[int]
    table_type: TableType
    name: str
    family: Family
    sort_type: ListPathRequest.SortType
    enable_filtered: bool
    enable_only_binary: bool
    def __init__(self, table_type: _Optional[_Union[TableType, str]] = ..., name: _Optional[str] = ..., family: _Optional[_Union[Family, _Mapping]] = ..., sort_type: _Optional[_Union[ListPathRequest.SortType, str]] = ..., enable_filtered: bool = ..., enable_only_binary: bool = ...) -> None: ...

class ListPathResponse(_message.Message):
    __slots__ = ("destination",)
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    destination: Destination
    def __init__(self, destination: _Optional[_Union[Destination, _Mapping]] = ...) -> None: ...

class AddPathStreamRequest(_message.Message):
    __slots__ = ("table_type", "paths")
    TABLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    table_type: TableType
    paths: _containers.RepeatedCompositeFieldContainer[Path]
    def __init__(self, table_type: _Optional[_Union[TableType, str]] = ..., paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ...) -> None: ...

class GetTableRequest(_message.Message):
    __slots__ = ("table_type", "family", "name")
    TABLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    table_type: TableType
    family: Family
    name: str
    def __init__(self, table_type: _Optional[_Union[TableType, str]] = ..., family: _Optional[_Union[Family, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class GetTableResponse(_message.Message):
    __slots__ = ("num_destination", "num_path", "num_accepted")
    NUM_DESTINATION_FIELD_NUMBER: _ClassVar[int]
    NUM_PATH_FIELD_NUMBER: _ClassVar[int]
    NUM_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    num_destination: int
    num_path: int
    num_accepted: int
    def __init__(self, num_destination: _Optional[int] = ..., num_path: _Optional[int] = ..., num_accepted: _Optional[int] = ...) -> None: ...

class AddPolicyRequest(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class DeletePolicyRequest(_message.Message):
    __slots__ = ("policy", "preserve_statements", "all")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    preserve_statements: bool
    all: bool
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ..., preserve_statements: bool = ..., all: bool = ...) -> None: ...

class AddDefinedSetRequest(_message.Message):
    __slots__ = ("defined_set",)
    DEFINED_SET_FIELD_NUMBER: _ClassVar[int]
    defined_set: DefinedSet
    def __init__(self, defined_set: _Optional[_Union[DefinedSet, _Mapping]] = ...) -> None: ...

class DeleteDefinedSetRequest(_message.Message):
    __slots__ = ("defined_set", "all")
    DEFINED_SET_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    defined_set: DefinedSet
    all: bool
    def __init__(self, defined_set: _Optional[_Union[DefinedSet, _Mapping]] = ..., all: bool = ...) -> None: ...

class ListPolicyAssignmentRequest(_message.Message):
    __slots__ = ("name", "direction")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    direction: PolicyDirection
    def __init__(self, name: _Optional[str] = ..., direction: _Optional[_Union[PolicyDirection, str]] = ...) -> None: ...

class ListPolicyAssignmentResponse(_message.Message):
    __slots__ = ("assignment",)
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    assignment: PolicyAssignment
    def __init__(self, assignment: _Optional[_Union[PolicyAssignment, _Mapping]] = ...) -> None: ...

class SetPolicyAssignmentRequest(_message.Message):
    __slots__ = ("assignment",)
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    assignment: PolicyAssignment
    def __init__(self, assignment: _Optional[_Union[PolicyAssignment, _Mapping]] = ...) -> None: ...

class Family(_message.Message):
    __slots__ = ("afi", "safi")
    class Afi(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        AFI_UNKNOWN: _ClassVar[Family.Afi]
        AFI_IP: _ClassVar[Family.Afi]
        AFI_IP6: _ClassVar[Family.Afi]
    AFI_UNKNOWN: Family.Afi
    AFI_IP: Family.Afi
    AFI_IP6: Family.Afi
    class Safi(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SAFI_UNKNOWN: _ClassVar[Family.Safi]
        SAFI_UNICAST: _ClassVar[Family.Safi]
    SAFI_UNKNOWN: Family.Safi
    SAFI_UNICAST: Family.Safi
    AFI_FIELD_NUMBER: _ClassVar[int]
    SAFI_FIELD_NUMBER: _ClassVar[int]
    afi: Family.Afi
    safi: Family.Safi
    def __init__(self, afi: _Optional[_Union[Family.Afi, str]] = ..., safi: _Optional[_Union[Family.Safi, str]] = ...) -> None: ...

class Path(_message.Message):
    __slots__ = ("nlri", "pattrs", "age", "best", "is_withdraw", "no_implicit_withdraw", "family", "source_asn", "source_id", "filtered", "stale", "is_from_external", "neighbor_ip", "is_nexthop_invalid", "pattrs_binary")
    NLRI_FIELD_NUMBER: _ClassVar[int]
    PATTRS_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    IS_WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    NO_IMPLICIT_WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ASN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    IS_FROM_EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOR_IP_FIELD_NUMBER: _ClassVar[int]
    IS_NEXTHOP_INVALID_FIELD_NUMBER: _ClassVar[int]
    PATTRS_BINARY_FIELD_NUMBER: _ClassVar[int]
    nlri: _any_pb2.Any
    pattrs: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    age: _timestamp_pb2.Timestamp
    best: bool
    is_withdraw: bool
    no_implicit_withdraw: bool
    family: Family
    source_asn: int
    source_id: str
    filtered: bool
    stale: bool
    is_from_external: bool
    neighbor_ip: str
    is_nexthop_invalid: bool
    pattrs_binary: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, nlri: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., pattrs: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., age: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., best: bool = ..., is_withdraw: bool = ..., no_implicit_withdraw: bool = ..., family: _Optional[_Union[Family, _Mapping]] = ..., source_asn: _Optional[int] = ..., source_id: _Optional[str] = ..., filtered: bool = ..., stale: bool = ..., is_from_external: bool = ..., neighbor_ip: _Optional[str] = ..., is_nexthop_invalid: bool = ..., pattrs_binary: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Destination(_message.Message):
    __slots__ = ("prefix", "paths")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    paths: _containers.RepeatedCompositeFieldContainer[Path]
    def __init__(self, prefix: _Optional[str] = ..., paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("conf", "ebgp_multihop", "state", "timers", "transport", "graceful_restart", "afi_safis")
    CONF_FIELD_NUMBER: _ClassVar[int]
    EBGP_MULTIHOP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIMERS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_RESTART_FIELD_NUMBER: _ClassVar[int]
    AFI_SAFIS_FIELD_NUMBER: _ClassVar[int]
    conf: PeerConf
    ebgp_multihop: EbgpMultihop
    state: PeerState
    timers: Timers
    transport: Transport
    graceful_restart: GracefulRestart
    afi_safis: _containers.RepeatedCompositeFieldContainer[AfiSafi]
    def __init__(self, conf: _Optional[_Union[PeerConf, _Mapping]] = ..., ebgp_multihop: _Optional[_Union[EbgpMultihop, _Mapping]] = ..., state: _Optional[_Union[PeerState, _Mapping]] = ..., timers: _Optional[_Union[Timers, _Mapping]] = ..., transport: _Optional[_Union[Transport, _Mapping]] = ..., graceful_restart: _Optional[_Union[GracefulRestart, _Mapping]] = ..., afi_safis: _Optional[_Iterable[_Union[AfiSafi, _Mapping]]] = ...) -> None: ...

class PrefixLimit(_message.Message):
    __slots__ = ("family", "max_prefixes", "shutdown_threshold_pct")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MAX_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_THRESHOLD_PCT_FIELD_NUMBER: _ClassVar[int]
    family: Family
    max_prefixes: int
    shutdown_threshold_pct: int
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., max_prefixes: _Optional[int] = ..., shutdown_threshold_pct: _Optional[int] = ...) -> None: ...

class PeerConf(_message.Message):
    __slots__ = ("auth_password", "description", "local_asn", "neighbor_address", "peer_asn", "type", "allow_own_asn", "admin_down")
    AUTH_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ASN_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ASN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_OWN_ASN_FIELD_NUMBER: _ClassVar[int]
    ADMIN_DOWN_FIELD_NUMBER: _ClassVar[int]
    auth_password: str
    description: str
    local_asn: int
    neighbor_address: str
    peer_asn: int
    type: PeerType
    allow_own_asn: int
    admin_down: bool
    def __init__(self, auth_password: _Optional[str] = ..., description: _Optional[str] = ..., local_asn: _Optional[int] = ..., neighbor_address: _Optional[str] = ..., peer_asn: _Optional[int] = ..., type: _Optional[_Union[PeerType, str]] = ..., allow_own_asn: _Optional[int] = ..., admin_down: bool = ...) -> None: ...

class EbgpMultihop(_message.Message):
    __slots__ = ("enabled", "multihop_ttl")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MULTIHOP_TTL_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    multihop_ttl: int
    def __init__(self, enabled: bool = ..., multihop_ttl: _Optional[int] = ...) -> None: ...

class PeerState(_message.Message):
    __slots__ = ("description", "local_asn", "messages", "neighbor_address", "peer_asn", "type", "session_state", "admin_state", "out_q", "flops", "router_id")
    class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[PeerState.SessionState]
        IDLE: _ClassVar[PeerState.SessionState]
        CONNECT: _ClassVar[PeerState.SessionState]
        ACTIVE: _ClassVar[PeerState.SessionState]
        OPENSENT: _ClassVar[PeerState.SessionState]
        OPENCONFIRM: _ClassVar[PeerState.SessionState]
        ESTABLISHED: _ClassVar[PeerState.SessionState]
    UNKNOWN: PeerState.SessionState
    IDLE: PeerState.SessionState
    CONNECT: PeerState.SessionState
    ACTIVE: PeerState.SessionState
    OPENSENT: PeerState.SessionState
    OPENCONFIRM: PeerState.SessionState
    ESTABLISHED: PeerState.SessionState
    class AdminState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UP: _ClassVar[PeerState.AdminState]
        DOWN: _ClassVar[PeerState.AdminState]
        PFX_CT: _ClassVar[PeerState.AdminState]
    UP: PeerState.AdminState
    DOWN: PeerState.AdminState
    PFX_CT: PeerState.AdminState
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ASN_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ASN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SESSION_STATE_FIELD_NUMBER: _ClassVar[int]
    ADMIN_STATE_FIELD_NUMBER: _ClassVar[int]
    OUT_Q_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    description: str
    local_asn: int
    messages: Messages
    neighbor_address: str
    peer_asn: int
    type: PeerType
    session_state: PeerState.SessionState
    admin_state: PeerState.AdminState
    out_q: int
    flops: int
    router_id: str
    def __init__(self, description: _Optional[str] = ..., local_asn: _Optional[int] = ..., messages: _Optional[_Union[Messages, _Mapping]] = ..., neighbor_address: _Optional[str] = ..., peer_asn: _Optional[int] = ..., type: _Optional[_Union[PeerType, str]] = ..., session_state: _Optional[_Union[PeerState.SessionState, str]] = ..., admin_state: _Optional[_Union[PeerState.AdminState, str]] = ..., out_q: _Optional[int] = ..., flops: _Optional[int] = ..., router_id: _Optional[str] = ...) -> None: ...

class Messages(_message.Message):
    __slots__ = ("received", "sent")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    received: Message
    sent: Message
    def __init__(self, received: _Optional[_Union[Message, _Mapping]] = ..., sent: _Optional[_Union[Message, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("notification", "update", "open", "keepalive", "refresh", "discarded", "total", "withdraw_update", "withdraw_prefix")
    NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_UPDATE_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_PREFIX_FIELD_NUMBER: _ClassVar[int]
    notification: int
    update: int
    open: int
    keepalive: int
    refresh: int
    discarded: int
    total: int
    withdraw_update: int
    withdraw_prefix: int
    def __init__(self, notification: _Optional[int] = ..., update: _Optional[int] = ..., open: _Optional[int] = ..., keepalive: _Optional[int] = ..., refresh: _Optional[int] = ..., discarded: _Optional[int] = ..., total: _Optional[int] = ..., withdraw_update: _Optional[int] = ..., withdraw_prefix: _Optional[int] = ...) -> None: ...

class Timers(_message.Message):
    __slots__ = ("config", "state")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    config: TimersConfig
    state: TimersState
    def __init__(self, config: _Optional[_Union[TimersConfig, _Mapping]] = ..., state: _Optional[_Union[TimersState, _Mapping]] = ...) -> None: ...

class TimersConfig(_message.Message):
    __slots__ = ("connect_retry", "hold_time", "keepalive_interval", "minimum_advertisement_interval", "idle_hold_time_after_reset")
    CONNECT_RETRY_FIELD_NUMBER: _ClassVar[int]
    HOLD_TIME_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_ADVERTISEMENT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    IDLE_HOLD_TIME_AFTER_RESET_FIELD_NUMBER: _ClassVar[int]
    connect_retry: int
    hold_time: int
    keepalive_interval: int
    minimum_advertisement_interval: int
    idle_hold_time_after_reset: int
    def __init__(self, connect_retry: _Optional[int] = ..., hold_time: _Optional[int] = ..., keepalive_interval: _Optional[int] = ..., minimum_advertisement_interval: _Optional[int] = ..., idle_hold_time_after_reset: _Optional[int] = ...) -> None: ...

class TimersState(_message.Message):
    __slots__ = ("connect_retry", "hold_time", "keepalive_interval", "minimum_advertisement_interval", "negotiated_hold_time", "uptime", "downtime")
    CONNECT_RETRY_FIELD_NUMBER: _ClassVar[int]
    HOLD_TIME_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_ADVERTISEMENT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    NEGOTIATED_HOLD_TIME_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    DOWNTIME_FIELD_NUMBER: _ClassVar[int]
    connect_retry: int
    hold_time: int
    keepalive_interval: int
    minimum_advertisement_interval: int
    negotiated_hold_time: int
    uptime: _timestamp_pb2.Timestamp
    downtime: _timestamp_pb2.Timestamp
    def __init__(self, connect_retry: _Optional[int] = ..., hold_time: _Optional[int] = ..., keepalive_interval: _Optional[int] = ..., minimum_advertisement_interval: _Optional[int] = ..., negotiated_hold_time: _Optional[int] = ..., uptime: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., downtime: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Transport(_message.Message):
    __slots__ = ("local_address", "passive_mode", "remote_address", "remote_port")
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PASSIVE_MODE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORT_FIELD_NUMBER: _ClassVar[int]
    local_address: str
    passive_mode: bool
    remote_address: str
    remote_port: int
    def __init__(self, local_address: _Optional[str] = ..., passive_mode: bool = ..., remote_address: _Optional[str] = ..., remote_port: _Optional[int] = ...) -> None: ...

class GracefulRestart(_message.Message):
    __slots__ = ("enabled", "restart_time", "helper_only", "deferral_time", "notification_enabled", "stale_routes_time", "peer_restart_time", "peer_restarting", "local_restarting", "mode")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    RESTART_TIME_FIELD_NUMBER: _ClassVar[int]
    HELPER_ONLY_FIELD_NUMBER: _ClassVar[int]
    DEFERRAL_TIME_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATION_ENABLED_FIELD_NUMBER: _ClassVar[int]
    STALE_ROUTES_TIME_FIELD_NUMBER: _ClassVar[int]
    PEER_RESTART_TIME_FIELD_NUMBER: _ClassVar[int]
    PEER_RESTARTING_FIELD_NUMBER: _ClassVar[int]
    LOCAL_RESTARTING_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    restart_time: int
    helper_only: bool
    deferral_time: int
    notification_enabled: bool
    stale_routes_time: int
    peer_restart_time: int
    peer_restarting: bool
    local_restarting: bool
    mode: str
    def __init__(self, enabled: bool = ..., restart_time: _Optional[int] = ..., helper_only: bool = ..., deferral_time: _Optional[int] = ..., notification_enabled: bool = ..., stale_routes_time: _Optional[int] = ..., peer_restart_time: _Optional[int] = ..., peer_restarting: bool = ..., local_restarting: bool = ..., mode: _Optional[str] = ...) -> None: ...

class MpGracefulRestartConfig(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: bool = ...) -> None: ...

class MpGracefulRestartState(_message.Message):
    __slots__ = ("enabled", "received", "advertised", "end_of_rib_received", "end_of_rib_sent")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ADVERTISED_FIELD_NUMBER: _ClassVar[int]
    END_OF_RIB_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    END_OF_RIB_SENT_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    received: bool
    advertised: bool
    end_of_rib_received: bool
    end_of_rib_sent: bool
    def __init__(self, enabled: bool = ..., received: bool = ..., advertised: bool = ..., end_of_rib_received: bool = ..., end_of_rib_sent: bool = ...) -> None: ...

class MpGracefulRestart(_message.Message):
    __slots__ = ("config", "state")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    config: MpGracefulRestartConfig
    state: MpGracefulRestartState
    def __init__(self, config: _Optional[_Union[MpGracefulRestartConfig, _Mapping]] = ..., state: _Optional[_Union[MpGracefulRestartState, _Mapping]] = ...) -> None: ...

class AfiSafiConfig(_message.Message):
    __slots__ = ("family", "enabled")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    family: Family
    enabled: bool
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., enabled: bool = ...) -> None: ...

class AfiSafiState(_message.Message):
    __slots__ = ("family", "enabled", "received", "accepted", "advertised")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ADVERTISED_FIELD_NUMBER: _ClassVar[int]
    family: Family
    enabled: bool
    received: int
    accepted: int
    advertised: int
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., enabled: bool = ..., received: _Optional[int] = ..., accepted: _Optional[int] = ..., advertised: _Optional[int] = ...) -> None: ...

class AfiSafi(_message.Message):
    __slots__ = ("mp_graceful_restart", "config", "state", "prefix_limits")
    MP_GRACEFUL_RESTART_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_LIMITS_FIELD_NUMBER: _ClassVar[int]
    mp_graceful_restart: MpGracefulRestart
    config: AfiSafiConfig
    state: AfiSafiState
    prefix_limits: PrefixLimit
    def __init__(self, mp_graceful_restart: _Optional[_Union[MpGracefulRestart, _Mapping]] = ..., config: _Optional[_Union[AfiSafiConfig, _Mapping]] = ..., state: _Optional[_Union[AfiSafiState, _Mapping]] = ..., prefix_limits: _Optional[_Union[PrefixLimit, _Mapping]] = ...) -> None: ...

class Prefix(_message.Message):
    __slots__ = ("ip_prefix", "mask_length_min", "mask_length_max")
    IP_PREFIX_FIELD_NUMBER: _ClassVar[int]
    MASK_LENGTH_MIN_FIELD_NUMBER: _ClassVar[int]
    MASK_LENGTH_MAX_FIELD_NUMBER: _ClassVar[int]
    ip_prefix: str
    mask_length_min: int
    mask_length_max: int
    def __init__(self, ip_prefix: _Optional[str] = ..., mask_length_min: _Optional[int] = ..., mask_length_max: _Optional[int] = ...) -> None: ...

class DefinedSet(_message.Message):
    __slots__ = ("defined_type", "name", "list", "prefixes")
    DEFINED_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    defined_type: DefinedType
    name: str
    list: _containers.RepeatedScalarFieldContainer[str]
    prefixes: _containers.RepeatedCompositeFieldContainer[Prefix]
    def __init__(self, defined_type: _Optional[_Union[DefinedType, str]] = ..., name: _Optional[str] = ..., list: _Optional[_Iterable[str]] = ..., prefixes: _Optional[_Iterable[_Union[Prefix, _Mapping]]] = ...) -> None: ...

class MatchSet(_message.Message):
    __slots__ = ("type", "name")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ANY: _ClassVar[MatchSet.Type]
        ALL: _ClassVar[MatchSet.Type]
        INVERT: _ClassVar[MatchSet.Type]
    ANY: MatchSet.Type
    ALL: MatchSet.Type
    INVERT: MatchSet.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    type: MatchSet.Type
    name: str
    def __init__(self, type: _Optional[_Union[MatchSet.Type, str]] = ..., name: _Optional[str] = ...) -> None: ...

class Conditions(_message.Message):
    __slots__ = ("prefix_set", "neighbor_set", "community_set", "route_type", "next_hop_in_list", "afi_safi_in")
    class RouteType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROUTE_TYPE_NONE: _ClassVar[Conditions.RouteType]
        ROUTE_TYPE_INTERNAL: _ClassVar[Conditions.RouteType]
        ROUTE_TYPE_EXTERNAL: _ClassVar[Conditions.RouteType]
        ROUTE_TYPE_LOCAL: _ClassVar[Conditions.RouteType]
    ROUTE_TYPE_NONE: Conditions.RouteType
    ROUTE_TYPE_INTERNAL: Conditions.RouteType
    ROUTE_TYPE_EXTERNAL: Conditions.RouteType
    ROUTE_TYPE_LOCAL: Conditions.RouteType
    PREFIX_SET_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOR_SET_FIELD_NUMBER: _ClassVar[int]
    COMMUNITY_SET_FIELD_NUMBER: _ClassVar[int]
    ROUTE_TYPE_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOP_IN_LIST_FIELD_NUMBER: _ClassVar[int]
    AFI_SAFI_IN_FIELD_NUMBER: _ClassVar[int]
    prefix_set: MatchSet
    neighbor_set: MatchSet
    community_set: MatchSet
    route_type: Conditions.RouteType
    next_hop_in_list: _containers.RepeatedScalarFieldContainer[str]
    afi_safi_in: _containers.RepeatedCompositeFieldContainer[Family]
    def __init__(self, prefix_set: _Optional[_Union[MatchSet, _Mapping]] = ..., neighbor_set: _Optional[_Union[MatchSet, _Mapping]] = ..., community_set: _Optional[_Union[MatchSet, _Mapping]] = ..., route_type: _Optional[_Union[Conditions.RouteType, str]] = ..., next_hop_in_list: _Optional[_Iterable[str]] = ..., afi_safi_in: _Optional[_Iterable[_Union[Family, _Mapping]]] = ...) -> None: ...

class NexthopAction(_message.Message):
    __slots__ = ("address", "self", "unchanged")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SELF_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    address: str
    self: bool
    unchanged: bool
    def __init__(self_, address: _Optional[str] = ..., self: bool = ..., unchanged: bool = ...) -> None: ...

class Actions(_message.Message):
    __slots__ = ("route_action", "nexthop")
    ROUTE_ACTION_FIELD_NUMBER: _ClassVar[int]
    NEXTHOP_FIELD_NUMBER: _ClassVar[int]
    route_action: RouteAction
    nexthop: NexthopAction
    def __init__(self, route_action: _Optional[_Union[RouteAction, str]] = ..., nexthop: _Optional[_Union[NexthopAction, _Mapping]] = ...) -> None: ...

class Statement(_message.Message):
    __slots__ = ("name", "conditions", "actions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    conditions: Conditions
    actions: Actions
    def __init__(self, name: _Optional[str] = ..., conditions: _Optional[_Union[Conditions, _Mapping]] = ..., actions: _Optional[_Union[Actions, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "statements")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    statements: _containers.RepeatedCompositeFieldContainer[Statement]
    def __init__(self, name: _Optional[str] = ..., statements: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ...) -> None: ...

class PolicyAssignment(_message.Message):
    __slots__ = ("name", "direction", "policies", "default_action")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ACTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    direction: PolicyDirection
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    default_action: RouteAction
    def __init__(self, name: _Optional[str] = ..., direction: _Optional[_Union[PolicyDirection, str]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., default_action: _Optional[_Union[RouteAction, str]] = ...) -> None: ...

class Global(_message.Message):
    __slots__ = ("asn", "router_id", "listen_port", "listen_addresses", "families", "use_multiple_paths", "graceful_restart")
    ASN_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    LISTEN_PORT_FIELD_NUMBER: _ClassVar[int]
    LISTEN_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    FAMILIES_FIELD_NUMBER: _ClassVar[int]
    USE_MULTIPLE_PATHS_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_RESTART_FIELD_NUMBER: _ClassVar[int]
    asn: int
    router_id: str
    listen_port: int
    listen_addresses: _containers.RepeatedScalarFieldContainer[str]
    families: _containers.RepeatedScalarFieldContainer[int]
    use_multiple_paths: bool
    graceful_restart: GracefulRestart
    def __init__(self, asn: _Optional[int] = ..., router_id: _Optional[str] = ..., listen_port: _Optional[int] = ..., listen_addresses: _Optional[_Iterable[str]] = ..., families: _Optional[_Iterable[int]] = ..., use_multiple_paths: bool = ..., graceful_restart: _Optional[_Union[GracefulRestart, _Mapping]] = ...) -> None: ...

class OriginAttribute(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: int
    def __init__(self, origin: _Optional[int] = ...) -> None: ...

class NextHopAttribute(_message.Message):
    __slots__ = ("next_hop",)
    NEXT_HOP_FIELD_NUMBER: _ClassVar[int]
    next_hop: str
    def __init__(self, next_hop: _Optional[str] = ...) -> None: ...

class MultiExitDiscAttribute(_message.Message):
    __slots__ = ("med",)
    MED_FIELD_NUMBER: _ClassVar[int]
    med: int
    def __init__(self, med: _Optional[int] = ...) -> None: ...

class LocalPrefAttribute(_message.Message):
    __slots__ = ("local_pref",)
    LOCAL_PREF_FIELD_NUMBER: _ClassVar[int]
    local_pref: int
    def __init__(self, local_pref: _Optional[int] = ...) -> None: ...

class CommunitiesAttribute(_message.Message):
    __slots__ = ("communities",)
    COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    communities: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, communities: _Optional[_Iterable[int]] = ...) -> None: ...

class IPAddressPrefix(_message.Message):
    __slots__ = ("prefix_len", "prefix")
    PREFIX_LEN_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix_len: int
    prefix: str
    def __init__(self, prefix_len: _Optional[int] = ..., prefix: _Optional[str] = ...) -> None: ...

class MpReachNLRIAttribute(_message.Message):
    __slots__ = ("family", "next_hops", "nlris")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOPS_FIELD_NUMBER: _ClassVar[int]
    NLRIS_FIELD_NUMBER: _ClassVar[int]
    family: Family
    next_hops: _containers.RepeatedScalarFieldContainer[str]
    nlris: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., next_hops: _Optional[_Iterable[str]] = ..., nlris: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

"""Where the endpoints of a service are: a fixed list, a name in the DNS, a watched file.

`resolver.Resolver` is the interface, which a registry can implement as well. The room knows
no connection: it says which endpoints there are, and others dial them.

Spec: protocol.md, "Several servers".
"""

from framerpc.resolvers.dns import DnsResolver
from framerpc.resolvers.file import FileResolver
from framerpc.resolvers.resolver import Resolution, Resolver
from framerpc.resolvers.static import StaticResolver

__all__ = ["DnsResolver", "FileResolver", "Resolution", "Resolver", "StaticResolver"]

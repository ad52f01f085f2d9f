"""The descriptors of every service behind the edge, from the generated stubs.

Reflection and Envoy's transcoder use the same set, so they cannot differ.
"""

from collections.abc import Iterable, Iterator

from google.api import annotations_pb2
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2
from signalbox.analysis.v1 import analysis_service_pb2, batch_job_pb2
from signalbox.edge.v1 import subscription_service_pb2, system_service_pb2
from signalbox.news.v1 import news_service_pb2
from signalbox.prices.v1 import history_job_pb2, prices_service_pb2
from signalbox.reports.v1 import jobs_service_pb2, reports_service_pb2, schedule_service_pb2

_OPERATIONS: FileDescriptor = operations_pb2.Operation.DESCRIPTOR.file
_FILES: tuple[FileDescriptor, ...] = (
    prices_service_pb2.DESCRIPTOR,
    analysis_service_pb2.DESCRIPTOR,
    subscription_service_pb2.DESCRIPTOR,
    system_service_pb2.DESCRIPTOR,
    news_service_pb2.DESCRIPTOR,
    jobs_service_pb2.DESCRIPTOR,
    schedule_service_pb2.DESCRIPTOR,
    reports_service_pb2.DESCRIPTOR,
    _OPERATIONS,
    # Results of jobs, within an operation.
    history_job_pb2.DESCRIPTOR,
    batch_job_pb2.DESCRIPTOR,
    # The transcoder writes google.rpc.Status as JSON and must know what may be in its details.
    error_details_pb2.DESCRIPTOR,
    status_pb2.DESCRIPTOR,
)


def services() -> list[ServiceDescriptor]:
    """Every service of ours, sorted by full name."""
    found = [service for file in _FILES for service in file.services_by_name.values()]
    return sorted(found, key=lambda service: service.full_name)


def descriptor_set() -> bytes:
    """A serialised FileDescriptorSet of all services with everything they import, dependencies first."""
    result = descriptor_pb2.FileDescriptorSet()
    for file in _with_dependencies(_FILES, set()):
        file.CopyToProto(result.file.add())
        if file is _OPERATIONS:
            _let_wait(result.file[-1])
    return result.SerializeToString(deterministic=True)


def _let_wait(operations: descriptor_pb2.FileDescriptorProto) -> None:
    """Google's proto leaves WaitOperation without a path; this one is what Google's own services configure for it."""
    for method in operations.service[0].method:
        if method.name == "WaitOperation":
            rule = method.options.Extensions[annotations_pb2.http]
            rule.post, rule.body = "/v1/{name=operations/**}:wait", "*"


def is_stream(method: MethodDescriptor) -> bool:
    """Whether either side sends a stream: such a call may last for hours."""
    return bool(method.client_streaming or method.server_streaming)


def is_read(method: MethodDescriptor) -> bool:
    """Whether a method only reads and answers once: those, and no others, are safe to send again."""
    if is_stream(method):
        return False
    return bool(method.GetOptions().Extensions[annotations_pb2.http].get)


def _with_dependencies(files: Iterable[FileDescriptor], seen: set[str]) -> Iterator[FileDescriptor]:
    for file in files:
        if file.name not in seen:
            seen.add(file.name)
            yield from _with_dependencies(file.dependencies, seen)
            yield file

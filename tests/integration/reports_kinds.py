"""Kinds of a test's own, as SIGNALBOX_JOB_KINDS_MODULE names them."""

from google.protobuf.struct_pb2 import Struct

from services.runtime.jobs import JobKind

ECHO = JobKind("test.echo", "test", Struct, Struct, "Answers with what it was given.")
NARROW = JobKind("test.narrow", "test", Struct, Struct, "Few may wait.", max_waiting=3)
JOB_KINDS = [ECHO, NARROW]

"""Kinds as an installation would have them, for the tests of SIGNALBOX_JOB_KINDS_MODULE."""

from google.protobuf.struct_pb2 import Struct

from services.runtime.jobs import JobKind

JOB_KINDS = [JobKind("test.echo", "test", Struct, Struct, "Answers with what it was given.")]

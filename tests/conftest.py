"""What all tests share."""

import os

# Before gRPC is loaded: its handlers of a fork start a poller in the child, which aborts it before the program that we start runs
# (https://github.com/grpc/grpc/issues/43055). Nothing here calls gRPC in a forked child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

pytest_plugins = ["tests.servers"]

"""The services of Signalbox; they never import each other and meet over gRPC and Kafka."""

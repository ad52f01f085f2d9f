"""The edge: Envoy's configuration, the subscription hub, the state of the system, the page's files."""

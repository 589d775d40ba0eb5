//! Metrics and health on a listener of its own, never reachable through the edge.

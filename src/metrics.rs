//! Every metric the service exports, with typed handles for the rooms that count.

//! Request path → publication. Readers never lock, and never wait for a writer.

//! Adapters that keep ledgers. In this release a ledger lives in memory, with its issuer's task.
